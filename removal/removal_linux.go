package removal

import "github.com/moby/sys/mountinfo"

// mounted returns where something is mounted.
func mounted() ([]string, error) {
	found, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, err
	}
	mounts := make([]string, 0, len(found))
	for _, mount := range found {
		mounts = append(mounts, mount.Mountpoint)
	}
	return mounts, nil
}
