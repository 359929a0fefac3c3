package rollout

import "github.com/aloft-run/aloft/core/spec"

// Limits resolves how many instances a service of that many may have too many
// and too few while it changes. A share is rounded up for surge and down for
// unavailable. When both come to nothing, surge is 1, for else nothing could
// ever be replaced and a gap is the greater harm.
func Limits(deploy spec.Deploy, instances int) (surge, unavailable int) {
	surge = deploy.Surge.Of(instances, true)
	unavailable = min(deploy.Unavailable.Of(instances, false), instances)
	if surge <= 0 && unavailable <= 0 {
		surge = 1
	}
	return max(0, surge), max(0, unavailable)
}
