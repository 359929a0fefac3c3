package removal

import "github.com/moby/sys/mountinfo"

// within returns where something is mounted: at a place or below it.
func within(place string) ([]string, error) {
	found, err := mountinfo.GetMounts(mountinfo.PrefixFilter(place))
	if err != nil {
		return nil, err
	}
	mounts := make([]string, 0, len(found))
	for _, mount := range found {
		mounts = append(mounts, mount.Mountpoint)
	}
	return mounts, nil
}
