package spec

import "time"

// Limits of a deployment.
const (
	settleMax   = day
	deadlineMin = time.Second
	deadlineMax = 7 * day
	drainMax    = day
	graceMax    = day
)

// String returns what to do as a spec file names it.
func (f OnFailure) String() string {
	if f == Pause {
		return "pause"
	}
	return "rollback"
}

func deployRule() rule[Deploy] {
	const why = "nothing replaces it while it runs"
	const unrouted = "no requests are routed to it"
	return record(
		defaultDeploy(),
		field[Deploy]{
			name: "surge", doc: "Instances above the wished number while they are replaced: a count, or a share rounded up.",
			only: kept(), why: why,
			rule: at(amountRule(), func(d *Deploy) *Amount { return &d.Surge }),
		},
		field[Deploy]{
			name: "unavailable", doc: "Instances that may be missing while they are replaced: a count, or a share rounded down.",
			only: kept(), why: why,
			rule: at(amountRule(), func(d *Deploy) *Amount { return &d.Unavailable }),
		},
		field[Deploy]{
			name: "settle", doc: "How long a new instance must stay ready before it counts.",
			only: kept(), why: why,
			rule: at(durationRule(0, settleMax), func(d *Deploy) *time.Duration { return &d.Settle }),
		},
		field[Deploy]{
			name: "deadline", doc: "Without progress for so long, the deployment has failed.",
			only: kept(), why: why,
			rule: at(durationRule(deadlineMin, deadlineMax), func(d *Deploy) *time.Duration { return &d.Deadline }),
		},
		field[Deploy]{
			name: "drain", doc: "The longest wait for requests in flight before an instance is stopped.",
			only: kept(), why: unrouted,
			rule: at(durationRule(0, drainMax), func(d *Deploy) *time.Duration { return &d.Drain }),
		},
		field[Deploy]{
			name: "grace", doc: "How long a program may take to end after SIGTERM, before SIGKILL.",
			rule: at(durationRule(0, graceMax), func(d *Deploy) *time.Duration { return &d.Grace }),
		},
		field[Deploy]{
			name: "failures", doc: "So many failed starts of new instances in a row fail the deployment.",
			only: kept(), why: why,
			rule: at(countRule(1, failuresMax), func(d *Deploy) *int { return &d.Failures }),
		},
		field[Deploy]{
			name: "on_failure", doc: "What a failed deployment does: go back to the revision before, or wait for an operator.",
			only: kept(), why: why,
			rule: at(choiceRule(Rollback, Pause), func(d *Deploy) *OnFailure { return &d.OnFailure }),
		},
	)
}

// checkDeploy reports settings by which no deployment could go on.
func (d *decoder) checkDeploy(s *Spec) {
	still := s.Deploy.Unavailable == Amount{}
	number := s.fixedPort()
	switch {
	case s.RunsToCompletion():
	case still && s.Deploy.Surge == Amount{}:
		d.problemAt("deploy.surge", "nothing could move with surge 0 and unavailable 0; want one of them above 0")
	case still && s.Kind == Daemon && number != 0:
		d.problemAt("deploy.unavailable", "nothing could move: two instances on one agent cannot both have port %d; want 1 or more", number)
	}
	if !s.RunsToCompletion() && s.Deploy.Deadline <= s.Deploy.Settle {
		d.problemAt("deploy.deadline", "%s is over before an instance has settled, which takes %s; want more",
			formatDuration(s.Deploy.Deadline), formatDuration(s.Deploy.Settle))
	}
}

// fixedPort returns the first port with a number of its own, or 0.
func (s *Spec) fixedPort() int {
	for _, p := range s.Ports {
		if p.Number != 0 {
			return p.Number
		}
	}
	return 0
}
