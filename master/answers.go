package master

import (
	"runtime"
	"sync"
)

// answersAtOnce is how many words are answered before what these answers have go on goes
// on. Fewer would have each session's next message leave by a write of its own.
const answersAtOnce = 64

// answers are those to what agents say. Where thousands of them come at once, a group has
// up to a thousand words: if all these sessions were to go on at one moment, each step of
// a call of the API would stand behind them in the queue for a processor. So they are
// answered a few at a time, by a goroutine of its own; calls of the API are at once.
type answers struct {
	mu      sync.Mutex // guards waiting and ended
	waiting []call
	ended   bool
	wake    chan struct{} // holds one signal
	running sync.WaitGroup
}

func newAnswers() *answers {
	a := &answers{wake: make(chan struct{}, 1)}
	a.running.Go(a.run)
	return a
}

// give answers calls, in their order those of each kind.
func (a *answers) give(calls []call) {
	var words []call
	for _, c := range calls {
		if c.word {
			words = append(words, c)
		} else {
			c.back <- c.reply
		}
	}
	if len(words) > 0 {
		a.add(words, false)
	}
}

// end returns when all are answered.
func (a *answers) end() {
	a.add(nil, true)
	a.running.Wait()
}

func (a *answers) add(words []call, ended bool) {
	a.mu.Lock()
	a.waiting, a.ended = append(a.waiting, words...), ended
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // it looks once more anyway
	}
}

func (a *answers) run() {
	for ended := false; !ended; {
		<-a.wake
		a.mu.Lock()
		var words []call
		words, a.waiting, ended = a.waiting, nil, a.ended
		a.mu.Unlock()
		for i, c := range words {
			c.back <- c.reply
			if i%answersAtOnce == answersAtOnce-1 {
				runtime.Gosched()
			}
		}
	}
}
