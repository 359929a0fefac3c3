package master

import "sync"

// voice says what a session has to say, in a goroutine that is there only while there is
// something: most sessions of a large cluster have nothing to say most of the time, and a
// stack for each was a tenth of a master's memory.
type voice struct {
	saying sync.WaitGroup

	mu     sync.Mutex   // guards all below
	say    func() error // says what there is; nil before it may, and when it is to say no more
	failed func(error)  // is told when something could not be said
	busy   bool         // a goroutine says it
	woken  bool         // there may be something that it has not seen
}

// open lets it speak, by what says all that there is when it is called. failed is told the
// error with which that fails, and nothing is said then.
func (v *voice) open(say func() error, failed func(error)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.say, v.failed = say, failed
	v.begin()
}

// wake has it say what there is, as soon as it may.
func (v *voice) wake() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.woken = true
	v.begin()
}

// begin has a goroutine speak if it is time for that. The caller holds v.mu.
func (v *voice) begin() {
	if v.woken && !v.busy && v.say != nil {
		v.busy = true
		v.saying.Go(v.speak)
	}
}

func (v *voice) speak() {
	for say := v.next(); say != nil; say = v.next() {
		if err := say(); err != nil {
			v.failed(err)
			v.mute()
		}
	}
}

// next returns what says what there is, nil when there is nothing: then the caller is not
// busy any more.
func (v *voice) next() func() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.woken || v.say == nil {
		v.busy = false
		return nil
	}
	v.woken = false
	return v.say
}

func (v *voice) mute() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.say = nil
}

// close ends it: nothing is being said any more when it returns.
func (v *voice) close() {
	v.mute()
	v.saying.Wait()
}
