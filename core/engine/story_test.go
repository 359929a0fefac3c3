package engine_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// stories are the lives of clusters, each told by what operators and machines do.
func stories() map[string]func(w *world) {
	return map[string]func(w *world){
		"roll":                  roll,
		"never-ready":           neverReady,
		"exits-at-once":         exitsAtOnce,
		"first-fails":           firstFails,
		"pause-on-failure":      pauseOnFailure,
		"scale":                 scale,
		"deploy-in-deploy":      deployInDeploy,
		"settings-only":         settingsOnly,
		"route-moves":           routeMoves,
		"killed-instance":       killedInstance,
		"agent-back-in-time":    agentBackInTime,
		"agent-away":            agentAway,
		"agent-says-goodbye":    saysGoodbye,
		"agent-suspect":         agentSuspect,
		"agent-back-late":       agentBackLate,
		"comeback-settled":      comebackSettled,
		"comeback-unready":      comebackUnready,
		"comeback-amid-deploy":  comebackAmidDeployment,
		"comeback-of-no-use":    comebackOfNoUse,
		"comeback-of-copies":    comebackOfCopies,
		"agent-rebooted":        agentRebooted,
		"drain-two-agents":      drainTwoAgents,
		"pool-resized":          poolResized,
		"larger-than-any-agent": largerThanAnyAgent,
		"no-room-for-surge":     noRoomForSurge,
		"busy-router":           busyRouter,
		"router-gone":           routerGone,
		"job-retries":           jobRetries,
		"job-too-late":          jobTooLate,
		"job-again":             jobAgain,
		"job-on-drained-agent":  jobOnDrainedAgent,
		"cron-skip":             cronSkip,
		"cron-replace":          cronReplace,
		"daemon":                daemonLife,
		"restart":               restart,
		"roll-back":             rollBack,
		"abort-and-pause":       abortAndPause,
		"plans":                 plans,
		"surge-withdrawn":       surgeWithdrawn,
		"long-service":          longService,
		"stop-start-remove":     stopStartRemove,
		"removed-and-again":     removedAndAgain,
		"stopped-and-bad":       stoppedAndBad,
		"daemon-fits-nowhere":   daemonFitsNowhere,
		"all-agents-silent":     allAgentsSilent,
		"room-comes-late":       roomComesLate,
		"what-went-wrong":       whatWentWrong,
		"cron-stopped":          cronStopped,
		"cron-retries":          cronRetries,
		"nobody-led":            nobodyLed,
		"nobody-led-a-drain":    nobodyLedADrain,
		"breaker-returns":       breakerReturns,
		"breaker-released":      breakerReleased,
		"drain-refused":         drainRefused,
		"drain-by-force":        drainByForce,
		"drain-of-all":          drainOfAll,
		"rebalance":             rebalanceLife,
		"rebalance-in-vain":     rebalanceInVain,
		"unhealthy":             unhealthy,
		"unhealthy-together":    unhealthyTogether,
		"unhealthy-no-room":     unhealthyNoRoom,
		"queue-of-users":        queueOfUsers,
		"queue-of-pools":        queueOfPools,
		"queue-and-a-service":   queueAndAService,
		"big-job":               bigJob,
		"big-job-in-pool":       bigJobInPool,
		"backfill":              backfill,
	}
}

// threeOfFive begins with a service on five agents, three of which fall silent.
func threeOfFive(w *world) {
	for _, name := range []id.Agent{"a1", "a2", "a3", "a4", "a5"} {
		w.addAgent(name, 8)
	}
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 5))
	w.pass(5 * time.Second)
	for _, name := range []id.Agent{"a1", "a2", "a3"} {
		w.cut(name)
		w.pass(time.Second)
	}
	w.pass(time.Hour)
	w.say("%s", w.status("hello"))
}

// breakerReturns ends with agents that come back: one is still missing, and its
// time begins anew.
func breakerReturns(w *world) {
	threeOfFive(w)
	w.lead()
	w.deploy(web("other", "ok", 2))
	w.pass(5 * time.Second)
	w.connect("a1")
	w.connect("a2")
	w.pass(time.Minute)
}

// breakerReleased ends by an operator's word.
func breakerReleased(w *world) {
	threeOfFive(w)
	w.ask(engine.ReleaseBreaker{})
	w.pass(20 * time.Second)
	w.lead()
	w.pass(time.Minute)
}

// unhealthy has an instance that is not alive serve until another one has settled.
func unhealthy(w *world) {
	hello(w)
	w.sicken("hello-1-2")
	w.pass(time.Second)
	w.say("%s", explained(w, "hello-1-2"))
	w.lead()
	w.pass(30 * time.Second)
}

// unhealthyTogether has so many instances turn unhealthy that none is replaced,
// until so many are alive again that the last one is.
func unhealthyTogether(w *world) {
	hello(w)
	w.sicken("hello-1-1")
	w.pass(time.Second)
	w.sicken("hello-1-2", "hello-1-3")
	w.pass(time.Hour)
	w.say("%s", explained(w, "hello-1-2"))
	w.sicken("hello-1-1", "hello-1-2")
	w.pass(30 * time.Second)
}

// unhealthyNoRoom has an instance that is not alive serve on while there is room
// for no other, and be stopped a while after it is not ready any more either.
func unhealthyNoRoom(w *world) {
	w.addAgent("a1", 1)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 4))
	w.pass(5 * time.Second)
	w.sicken("hello-1-2")
	w.pass(time.Hour)
	w.say("%s", w.status("hello"))
	w.unready("hello-1-2", "503")
	w.pass(30 * time.Second)
}

// hello starts the cluster that most stories begin with.
func hello(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 4, version(1)))
	w.pass(5 * time.Second)
}

func roll(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(20 * time.Second)
}

func neverReady(w *world) {
	hello(w)
	w.deploy(web("hello", "never", 4, version(3)))
	w.pass(2 * time.Minute)
}

func exitsAtOnce(w *world) {
	hello(w)
	w.deploy(web("hello", "exit", 4, version(3)))
	w.pass(10 * time.Second)
	d := w.engine.Deployment("hello-2")
	w.say("deployment hello-2: %s; %v", d.State, d.Failure.Exit.LastLogs)
}

func firstFails(w *world) {
	w.addAgent("a1", 8)
	w.deploy(web("hello", "exit", 4))
	w.pass(10 * time.Second)
	w.deploy(web("hello", "ok", 4))
	w.pass(10 * time.Second)
}

func pauseOnFailure(w *world) {
	hello(w)
	w.deploy(web("hello", "exit", 4, func(s *spec.Spec) { s.Deploy.OnFailure = spec.Pause }))
	w.pass(5 * time.Second)
	w.ask(engine.AbortDeployment{Deployment: "hello-2"})
	w.pass(20 * time.Second)
}

func scale(w *world) {
	hello(w)
	w.ask(engine.Scale{Service: "hello", Instances: 8})
	w.pass(5 * time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 2})
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(5 * time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 3})
	w.pass(20 * time.Second)
}

func deployInDeploy(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(4)))
	w.pass(4 * time.Second)
	w.deploy(web("hello", "ok", 4, version(5)))
	w.pass(4 * time.Second)
	w.say("%s", w.status("hello"))
	w.pass(20 * time.Second)
}

func settingsOnly(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 5, version(1), func(s *spec.Spec) { s.Deploy.Drain = time.Minute }))
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 5, version(2)))
	w.pass(3 * time.Second)
	w.deploy(web("hello", "ok", 5, version(2), func(s *spec.Spec) { s.Deploy.Settle = time.Second }))
	w.pass(20 * time.Second)
	w.deploy(web("hello", "ok", 5, version(1)))
	w.pass(20 * time.Second)
}

func routeMoves(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 2))
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 2, func(s *spec.Spec) {
		s.Ports = []spec.Port{{Name: "web"}}
		s.Routes = []spec.Route{{Host: "hello.localhost", Path: "/", Port: "web"}, {Host: "new.localhost", Path: "/", Port: "web"}}
	}))
	w.sayTable()
	w.pass(time.Second)
	w.sayTable()
	w.pass(10 * time.Second)
	w.sayTable()
}

// agentSuspect: what runs on a silent agent stays in the table and is suspect
// there, and is not when the agent is back. A new leader knows which were silent.
func agentSuspect(w *world) {
	w.addAgent("a1", 8)
	w.addAgent("a2", 8)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 2))
	w.pass(5 * time.Second)
	w.sayTable()
	w.cut("a1")
	w.sayTable()
	w.connect("a1")
	w.sayTable()
	w.cut("a2")
	w.lead()
	w.sayTable()
}

func killedInstance(w *world) {
	hello(w)
	w.kill("hello-1-2")
	w.say("%s", w.status("hello"))
	w.pass(5 * time.Second)
	w.explain("hello-1-2")
}

func agentBackInTime(w *world) {
	hello(w)
	w.cut("a1")
	w.explain("hello-1-1")
	w.pass(10 * time.Second)
	w.connect("a1")
	w.pass(40 * time.Second)
}

func agentBackLate(w *world) {
	hello(w)
	w.cut("a1")
	w.pass(10 * time.Second)
	w.addAgent("a2", 8)
	w.pass(30 * time.Second)
	w.say("%s", w.status("hello"))
	w.connect("a1")
	w.say("strays %v, a1 closed %t", w.engine.Strays("a1"), w.engine.Agent("a1").Closed)
	w.pass(time.Second)
	w.say("strays %v, a1 closed %t", w.engine.Strays("a1"), w.engine.Agent("a1").Closed)
}

func agentRebooted(w *world) {
	hello(w)
	w.cut("a1")
	w.pass(5 * time.Second)
	w.reboot("a1")
	w.connect("a1")
	w.pass(5 * time.Second)
}

func drainTwoAgents(w *world) {
	hello(w)
	w.ask(engine.DrainAgent{Agent: "a1", Force: true})
	w.explain("hello")
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.pass(20 * time.Second)
	w.say("a1 is %s: %s", w.engine.AgentState("a1"), w.status("hello"))
	w.ask(engine.UndrainAgent{Agent: "a1"})
	w.ask(engine.DrainAgent{Agent: "a2"})
	w.pass(20 * time.Second)
	w.say("a2 is %s: %s", w.engine.AgentState("a2"), w.status("hello"))
	w.cut("a2")
	w.ask(engine.RemoveAgent{Agent: "a2"})
	delete(w.machines, "a2")
}

func poolResized(w *world) {
	w.addAgent("a1", 8)
	w.setPool("web", 500, 0)
	w.deploy(web("hello", "ok", 4, inPools("web")))
	w.pass(5 * time.Second)
	w.explain("hello")
	w.setPool("web", 1250, 0)
	w.pass(5 * time.Second)
	w.setPool("web", 750, 0)
	w.kill("hello-1-1")
	w.ask(engine.Scale{Service: "hello", Instances: 5})
	w.pass(5 * time.Second)
	w.explain("hello")
}

func largerThanAnyAgent(w *world) {
	w.addAgent("a1", 1)
	w.deploy(web("big", "ok", 1, func(s *spec.Spec) { s.Resources = vector(2000, 64<<20) }))
	w.deploy(web("small", "ok", 1))
	w.pass(5 * time.Second)
	w.explain("big-1-1")
	w.addAgent("a2", 4)
	w.pass(5 * time.Second)
}

func noRoomForSurge(w *world) {
	w.addAgent("a1", 1)
	w.addRouter("r1", 0)
	lenient := func(s *spec.Spec) { s.Deploy.Unavailable = spec.Amount{Count: 1} }
	w.deploy(web("hello", "ok", 4, version(1), lenient))
	w.pass(5 * time.Second)
	w.plan(web("hello", "ok", 4, version(2), lenient))
	w.deploy(web("hello", "ok", 4, version(2), lenient))
	w.pass(20 * time.Second)
	w.plan(web("hello", "ok", 4, version(3)))
	w.deploy(web("hello", "ok", 4, version(3)))
	w.pass(5 * time.Second)
	w.explain("hello")
	w.addAgent("a2", 1)
	w.pass(20 * time.Second)
}

func busyRouter(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 3*time.Second)
	w.addRouter("r2", 40*time.Second)
	w.deploy(web("hello", "ok", 2))
	w.pass(5 * time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 1})
	w.pass(time.Second)
	w.explain("hello")
	w.pass(40 * time.Second)
}

func routerGone(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 2, func(s *spec.Spec) { s.Deploy.Drain = 5 * time.Minute }))
	w.pass(5 * time.Second)
	delete(w.routers, "r1")
	_, _ = w.try(engine.RouterGone{Router: "r1"}) // a new leader does not know it
	w.ask(engine.Scale{Service: "hello", Instances: 1})
	w.pass(50 * time.Second)
	w.explain("hello")
	w.pass(30 * time.Second)
}

func jobRetries(w *world) {
	w.addAgent("a1", 8)
	w.addAgent("a2", 8)
	w.deploy(job("good", "work", 3))
	w.deploy(job("bad", "fail", 1, func(s *spec.Spec) { s.Retries = 2 }))
	w.pass(20 * time.Second)
	w.explain("bad")
}

func jobTooLate(w *world) {
	w.addAgent("a1", 8)
	w.deploy(job("slow", "long", 1, func(s *spec.Spec) { s.Timeout, s.Retries = 5*time.Second, 1 }))
	w.pass(20 * time.Second)
}

func jobAgain(w *world) {
	w.addAgent("a1", 8)
	w.deploy(job("work", "work", 1))
	w.pass(500 * time.Millisecond)
	w.deploy(job("work", "work", 1))
	w.pass(3 * time.Second)
	w.deploy(job("work", "work", 1))
	w.pass(500 * time.Millisecond)
	w.deploy(job("work", "long", 1))
	w.pass(5 * time.Second)
	w.ask(engine.StopService{Service: "work"})
	w.pass(5 * time.Second)
}

func jobOnDrainedAgent(w *world) {
	w.addAgent("a1", 8)
	w.deploy(job("long", "long", 1))
	w.pass(time.Second)
	w.ask(engine.DrainAgent{Agent: "a1", Deadline: 10 * time.Second})
	w.addAgent("a2", 8)
	w.pass(5 * time.Second)
	w.say("%s", w.status("long"))
	w.pass(10 * time.Second)
	w.say("%s", w.status("long"))
}

func cronSkip(w *world) {
	w.addAgent("a1", 8)
	w.deploy(cron("tick", "work", spec.Skip))
	w.deploy(cron("slow", "long", spec.Skip))
	w.pass(150 * time.Second)
	w.explain("tick")
	w.now = w.now.Add(10 * time.Minute) // nobody led
	w.lead()
	w.pass(10 * time.Second)
}

// cronStopped stops a cron: it has no next run until it is deployed again.
func cronStopped(w *world) {
	w.addAgent("a1", 8)
	w.deploy(cron("tick", "work", spec.Skip))
	w.pass(70 * time.Second)
	w.ask(engine.StopService{Service: "tick"})
	w.say("next run %v", w.engine.Service("tick").NextRun)
	w.explain("tick")
	w.pass(2 * time.Minute)
	w.lead()
	w.deploy(cron("tick", "work", spec.Skip))
	w.explain("tick")
	w.pass(70 * time.Second)
}

func cronReplace(w *world) {
	w.addAgent("a1", 8)
	w.deploy(cron("new", "long", spec.Replace))
	w.deploy(cron("all", "long", spec.Allow))
	w.pass(150 * time.Second)
	w.say("%s; %s", w.status("new"), w.status("all"))
}

func daemonLife(w *world) {
	w.addAgent("a1", 8, "zone=a")
	w.addAgent("a2", 8, "zone=b")
	w.addAgent("tiny", 0)
	w.deploy(daemon("logs", "ok", version(1)))
	w.deploy(web("hello", "ok", 2))
	w.pass(5 * time.Second)
	w.addAgent("a3", 8, "zone=a")
	w.pass(5 * time.Second)
	w.plan(daemon("logs", "ok", version(2)))
	w.deploy(daemon("logs", "ok", version(2)))
	w.pass(20 * time.Second)
	w.ask(engine.DrainAgent{Agent: "a1"})
	w.pass(20 * time.Second)
	w.say("%s", w.status("logs"))
	w.deploy(daemon("logs", "ok", version(2), func(s *spec.Spec) {
		s.Placement.Where = []spec.Constraint{{Attribute: "zone", Operator: spec.In, Values: []string{"a"}}}
	}))
	w.pass(20 * time.Second)
	w.say("%s", w.status("logs"))
}

func restart(w *world) {
	hello(w)
	w.ask(engine.Restart{Service: "hello", Task: "hello-1-2"})
	w.pass(5 * time.Second)
	w.ask(engine.Restart{Service: "hello"})
	w.pass(20 * time.Second)
}

func rollBack(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(20 * time.Second)
	w.deploy(web("hello", "ok", 4, version(3)))
	w.pass(20 * time.Second)
	w.ask(engine.RollBack{Service: "hello"})
	w.pass(20 * time.Second)
	w.ask(engine.RollBack{Service: "hello", To: 1})
	w.pass(20 * time.Second)
	w.deploy(web("hello", "ok", 4, version(1), func(s *spec.Spec) { s.Deploy.Drain = time.Minute })) // no new instances
	w.pass(time.Second)
	w.ask(engine.RollBack{Service: "hello"})
	w.pass(time.Second)
}

func abortAndPause(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(3 * time.Second)
	w.ask(engine.PauseDeployment{Deployment: "hello-2"})
	w.pass(2 * time.Minute)
	w.explain("hello")
	w.ask(engine.ResumeDeployment{Deployment: "hello-2"})
	w.pass(3 * time.Second)
	w.ask(engine.AbortDeployment{Deployment: "hello-2"})
	w.pass(20 * time.Second)
}

func plans(w *world) {
	w.addAgent("a1", 2)
	w.setPool("web", 1500, 0)
	w.setPool("spare", 500, 0)
	w.plan(web("hello", "ok", 2, inPools("web")))
	w.deploy(web("hello", "ok", 2, inPools("web")))
	w.pass(5 * time.Second)
	w.plan(web("hello", "ok", 2, inPools("web")))
	w.plan(web("hello", "ok", 4, inPools("web")), web("other", "ok", 3, inPools("web", "spare")))
	w.plan(web("hello", "ok", 2, inPools("web"), version(2)))
	w.plan(web("huge", "ok", 1, inPools("web"), func(s *spec.Spec) { s.Resources = vector(4000, 1<<20) }))
	w.plan(job("work", "work", 3, inPools("spare")), cron("tick", "work", spec.Skip), daemon("logs", "ok"))
	w.deploy(job("work", "long", 1))
	w.plan(job("work", "long", 1))
	w.plan(job("work", "long", 2))
	w.ask(engine.StopService{Service: "hello"})
	w.pass(time.Second)
	w.plan(web("hello", "ok", 2, inPools("web")))
}

// surgeWithdrawn takes back what waiting instances were planned with.
func surgeWithdrawn(w *world) {
	surge := func(n int) func(*spec.Spec) { return func(s *spec.Spec) { s.Deploy.Surge.Count = n } }
	w.addAgent("a1", 1)
	w.deploy(web("hello", "ok", 4, version(1)))
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 4, version(2), surge(4)))
	w.pass(time.Second)
	w.deploy(web("hello", "ok", 4, version(2), surge(1)))
	w.addAgent("a2", 1)
	w.explain("hello")
	w.pass(20 * time.Second)
}

// longService runs out of what it needs in all kinds of ways.
func longService(w *world) {
	w.addAgent("a1", 2, "zone=a")
	inB := func(s *spec.Spec) {
		s.Placement.Where = []spec.Constraint{{Attribute: "zone", Operator: spec.In, Values: []string{"b"}}}
	}
	w.deploy(web("hello", "ok", 2, inB))
	w.pass(2 * time.Second)
	w.explain("hello")
	w.addAgent("a2", 2, "zone=b")
	w.pass(5 * time.Second)
	w.cut("a2")
	w.explain("hello-1-1")
	w.pass(time.Minute)
	w.explain("hello")
	w.connect("a2")
	w.pass(10 * time.Second)
	w.ask(engine.StopService{Service: "hello"})
	w.pass(time.Second)
	w.explain("hello")
}

func stopStartRemove(w *world) {
	hello(w)
	w.ask(engine.StopService{Service: "hello"})
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 4, version(1)))
	w.pass(5 * time.Second)
	w.ask(engine.StopService{Service: "hello", Remove: true})
	w.pass(5 * time.Second)
	w.say("%d records", len(w.durable))
}

// stoppedAndBad has bad revisions of a stopped service fail: it is stopped again.
func stoppedAndBad(w *world) {
	hello(w)
	w.ask(engine.StopService{Service: "hello"})
	w.pass(5 * time.Second)
	w.deploy(web("hello", "exit", 4, version(2)))
	w.pass(10 * time.Second)
	w.say("stopped %t at revision %d", w.engine.Service("hello").Stopped, w.engine.Service("hello").Revision)
	w.deploy(web("hello", "never", 4, version(3)))
	w.pass(time.Second)
	w.deploy(web("hello", "never", 4, version(4)))
	w.pass(time.Second)
	w.ask(engine.AbortDeployment{Deployment: "hello-4"})
	w.pass(5 * time.Second)
	w.say("stopped %t at revision %d", w.engine.Service("hello").Stopped, w.engine.Service("hello").Revision)
	w.deploy(web("hello", "ok", 4, version(5)))
	w.pass(5 * time.Second)
	w.deploy(web("hello", "exit", 4, version(6)))
	w.pass(10 * time.Second)
	w.say("stopped %t at revision %d, %s", w.engine.Service("hello").Stopped, w.engine.Service("hello").Revision, w.status("hello"))
}

// daemonFitsNowhere deploys a revision for which no agent is large enough: the one
// before serves on.
func daemonFitsNowhere(w *world) {
	w.addAgent("a1", 8)
	w.addAgent("a2", 8)
	w.deploy(daemon("logs", "ok", version(1)))
	w.pass(5 * time.Second)
	w.deploy(daemon("logs", "ok", version(2), func(s *spec.Spec) { s.Resources = vector(100_000, 64<<20) }))
	w.pass(30 * time.Second)
	w.say("%s", w.status("logs"))
	w.pass(60 * time.Second)
}

// allAgentsSilent loses nothing while nothing could take its place.
func allAgentsSilent(w *world) {
	hello(w)
	w.addAgent("a2", 8)
	w.cut("a1")
	w.cut("a2")
	w.pass(10 * time.Minute)
	w.say("%s", w.status("hello"))
	w.connect("a2")
	w.pass(10 * time.Second)
	w.say("%s", w.status("hello"))
	w.pass(time.Minute)
}

// roomComesLate has the first deployment fail for want of room: it starts all the
// same when room comes, and counts as good then.
func roomComesLate(w *world) {
	w.addAgent("a1", 1)
	w.deploy(web("big", "ok", 1, version(1), func(s *spec.Spec) { s.Resources = vector(2000, 64<<20) }))
	w.pass(2 * time.Minute)
	w.addAgent("a2", 4)
	w.pass(10 * time.Second)
	w.deploy(web("big", "exit", 1, version(2), func(s *spec.Spec) { s.Resources = vector(2000, 64<<20) }))
	w.pass(10 * time.Second)
}

// drainRefused asks for drains for which there is no room: alone, and beside a
// drain for which there is.
func drainRefused(w *world) {
	w.addAgent("a1", 1)
	w.addAgent("a2", 1)
	w.addAgent("a3", 1)
	w.deploy(web("hello", "ok", 6))
	w.deploy(web("lenient", "ok", 2, func(s *spec.Spec) { s.Deploy.Unavailable.Count = 1 }))
	w.pass(5 * time.Second)
	w.ask(engine.DrainAgent{Agent: "a1"})
	w.refused(engine.DrainAgent{Agent: "a2"})
	w.pass(20 * time.Second)
	w.say("a1 is %s, %v", w.engine.AgentState("a1"), w.engine.Residents("a1"))
	w.refused(engine.DrainAgent{Agent: "a2"})
	w.ask(engine.UndrainAgent{Agent: "a1"})
	w.ask(engine.DrainAgent{Agent: "a2"})
	w.pass(20 * time.Second)
	w.say("a2 is %s: %s", w.engine.AgentState("a2"), w.status("hello"))
}

// drainByForce empties agents for which there is no room elsewhere: without a
// deadline the instances run on until there is, with one they stop then.
func drainByForce(w *world) {
	w.addAgent("a1", 1)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 4))
	w.pass(5 * time.Second)
	w.say("missing: %v", w.ask(engine.DrainAgent{Agent: "a1", Force: true}).Missing)
	w.pass(20 * time.Second)
	w.say("a1 is %s, %v", w.engine.AgentState("a1"), w.engine.Residents("a1"))
	w.say("missing: %v", w.ask(engine.DrainAgent{Agent: "a1", Force: true, Deadline: 10 * time.Second}).Missing)
	w.pass(9 * time.Second)
	w.say("a1 is %s, %v", w.engine.AgentState("a1"), w.engine.Residents("a1"))
	w.pass(5 * time.Second)
	w.say("a1 is %s", w.engine.AgentState("a1"))
	w.ask(engine.UndrainAgent{Agent: "a1"})
	w.pass(5 * time.Second)
}

// drainOfAll empties an agent with everything that there is: daemons leave last.
func drainOfAll(w *world) {
	w.addAgent("a1", 8)
	w.deploy(daemon("logs", "ok"))
	w.deploy(web("hello", "ok", 2))
	w.deploy(job("long", "long", 1))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.ask(engine.DrainAgent{Agent: "a1", Deadline: 20 * time.Second})
	w.pass(time.Second)
	w.say("%v", w.engine.Residents("a1"))
	w.pass(10 * time.Second)
	w.say("%v", w.engine.Residents("a1"))
	w.pass(20 * time.Second)
	w.say("a1 is %s", w.engine.AgentState("a1"))
}

// rebalanceLife has machines come back after services went on without them.
func rebalanceLife(w *world) {
	zones := func(s *spec.Spec) { s.Placement.Spread = []string{"zone"} }
	w.addAgent("a1", 8, "zone=a")
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 6, zones))
	w.deploy(web("other", "ok", 3))
	w.deploy(daemon("logs", "ok"))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8, "zone=a")
	w.addAgent("b1", 1, "zone=b")
	w.pass(5 * time.Second)
	w.sayMoves(engine.Rebalance{Max: 2})
	w.sayMoves(engine.Rebalance{Services: []id.Service{"other"}})
	w.sayMoves(engine.Rebalance{})
	w.ask(engine.Rebalance{})
	w.sayMoves(engine.Rebalance{})
	w.pass(time.Second)
	w.say("%v", w.engine.Moves(nil))
	w.pass(30 * time.Second)
	w.say("%s; %s", w.status("hello"), w.status("other"))
	w.sayMoves(engine.Rebalance{})
}

// rebalanceInVain has moves that come to nothing: what starts in their place fails,
// the agent goes, an operator takes them back, or a deployment comes.
func rebalanceInVain(w *world) {
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 4, version(1)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.ask(engine.Rebalance{})
	w.pass(50 * time.Millisecond)
	w.kill("hello-1-5")
	w.pass(10 * time.Second)
	w.say("%s", w.status("hello"))
	w.ask(engine.Rebalance{})
	w.pass(time.Second)
	w.ask(engine.AbortMoves{})
	w.pass(5 * time.Second)
	w.say("%s", w.status("hello"))
	w.ask(engine.Rebalance{})
	w.pass(time.Second)
	w.ask(engine.DrainAgent{Agent: "a2"})
	w.pass(5 * time.Second)
	w.say("%s", w.status("hello"))
	w.ask(engine.UndrainAgent{Agent: "a2"})
	w.ask(engine.Rebalance{})
	w.pass(time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 3})
	w.pass(10 * time.Second)
	w.say("%s", w.status("hello"))
	w.ask(engine.Scale{Service: "hello", Instances: 4})
	w.pass(10 * time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 6})
	w.ask(engine.DrainAgent{Agent: "a2"})
	w.pass(20 * time.Second)
	w.ask(engine.UndrainAgent{Agent: "a2"})
	w.ask(engine.Rebalance{})
	w.pass(time.Second)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(20 * time.Second)
	w.say("%s", w.status("hello"))
	w.sayMoves(engine.Rebalance{})
}

// cronRetries has runs whose copies wait to be tried again when the next run has
// begun.
func cronRetries(w *world) {
	w.addAgent("a1", 8)
	w.deploy(cron("tick", "fail", spec.Allow, func(s *spec.Spec) { s.Retries = 6 }))
	w.pass(130 * time.Second)
	w.say("runs %v are not over", w.engine.Service("tick").Runs)
	w.ask(engine.StopService{Service: "tick"})
	w.pass(10 * time.Second)
}

// nobodyLed has no leader for longer than deployments may go without progress.
// What the agents did meanwhile counts when they tell it, and what could not
// happen without a leader has a while to happen.
func nobodyLed(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.deploy(web("other", "never", 1))
	w.pass(time.Second)
	w.now = w.now.Add(2 * time.Minute)
	w.lead()
	w.pass(time.Minute)
}

// nobodyLedADrain has the deadline of a drain go by, and an instance settle, while
// nobody leads.
func nobodyLedADrain(w *world) {
	hello(w)
	w.deploy(job("long", "long", 1))
	w.pass(time.Second)
	w.addAgent("a2", 8)
	w.ask(engine.DrainAgent{Agent: "a1", Deadline: 10 * time.Second})
	w.pass(time.Second)
	w.now = w.now.Add(time.Minute)
	w.lead()
	w.pass(20 * time.Second)
	w.say("a1 is %s", w.engine.AgentState("a1"))
}

// whatWentWrong has deployments fail for want of room, and because of a probe. What
// kept them from their ends is told also when the way back is over.
func whatWentWrong(w *world) {
	hello(w)
	inZone := func(s *spec.Spec) {
		s.Placement.Where = []spec.Constraint{{Attribute: "zone", Operator: spec.In, Values: []string{"a"}}}
	}
	w.deploy(web("hello", "ok", 4, version(2), inZone))
	w.pass(61 * time.Second)
	w.explain("hello")
	w.deploy(web("hello", "never", 4, version(3)))
	w.pass(time.Second)
	w.unready("hello-3-6", "not ready: connection refused")
	w.pass(60 * time.Second)
	w.explain("hello")
}

// removedAndAgain uses names of services anew, under one leader and the next:
// agents refuse to start a task of a name that they have started before.
func removedAndAgain(w *world) {
	hello(w)
	for range 2 {
		w.ask(engine.StopService{Service: "hello", Remove: true})
		w.pass(5 * time.Second)
		w.lead()
		w.deploy(web("hello", "ok", 2, version(1)))
		w.pass(5 * time.Second)
	}
	w.ask(engine.StopService{Service: "hello", Remove: true})
	w.deploy(web("other", "ok", 1))
	w.pass(5 * time.Second)
}

// TestStories plays the stories and keeps what happened in files.
func TestStories(t *testing.T) {
	t.Parallel()
	for name, play := range stories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)

			play(w)

			w.checkHanded()
			compareGolden(t, name+".txt", w.story.String()+"\n"+w.end())
		})
	}
}

// TestStoriesUnderNewLeaders plays the stories while the leader changes all the
// time. They end the same way.
func TestStoriesUnderNewLeaders(t *testing.T) {
	t.Parallel()
	for name, play := range stories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calm, restless := newWorld(t), newWorld(t)
			restless.leadEach = 700 * time.Millisecond

			play(calm)
			play(restless)

			restless.checkHanded()
			if diff := cmp.Diff(calm.end(), restless.end()); diff != "" {
				t.Errorf("the story ends otherwise (-one leader +many):\n%s\n%s", diff, restless.story.String())
			}
		})
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: run with -update if this is meant (-want +got):\n%s", path, diff)
	}
}
