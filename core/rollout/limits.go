package rollout

import "github.com/aloft-run/aloft/core/spec"

// Limits resolves how many instances a service of that many may have too many
// and too few while it changes. A share is rounded up for surge and down for
// unavailable. When both come to nothing, surge is 1, for else nothing could
// ever be replaced and a gap is the greater harm; but where a share of unavailable
// was asked for and no surge, unavailable is 1, as in Kubernetes.
func Limits(deploy spec.Deploy, instances int) (surge, unavailable int) {
	surge = deploy.Surge.Of(instances, true)
	unavailable = min(deploy.Unavailable.Of(instances, false), instances)
	switch {
	case surge > 0 || unavailable > 0:
	case deploy.Surge.Percent == 0 && deploy.Unavailable.Percent > 0 && instances > 0:
		unavailable = 1
	default:
		surge = 1
	}
	return max(0, surge), max(0, unavailable)
}
