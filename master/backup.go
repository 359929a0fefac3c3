package master

import (
	"context"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// backupBytesMax is what one message of a backup carries.
const backupBytesMax = 1 << 20

// Backup sends a copy of all state. Each master answers by itself: it holds all
// that was committed when it was asked.
func (s *clusterService) Backup(
	ctx context.Context, _ *connect.Request[pb.BackupRequest], stream *connect.ServerStream[pb.BackupResponse],
) error {
	ctx, done := s.master.untilClosing(ctx)
	defer done()
	send := sender(ctx, stream)
	revision, err := s.master.store.Snapshot(ctx, pieces(func(piece []byte) error {
		return send(&pb.BackupResponse{Bytes: piece})
	}))
	if err == nil {
		err = send(&pb.BackupResponse{Revision: revision})
	}
	return apiError(err)
}

// pieces is a writer that hands on what is written, a bounded piece at a time.
type pieces func(piece []byte) error

func (send pieces) Write(p []byte) (n int, err error) {
	for n < len(p) {
		piece := p[n:min(n+backupBytesMax, len(p))]
		if err := send(piece); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}
