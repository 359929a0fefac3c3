package master

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/specfile"
	"github.com/aloft-run/aloft/wire"
)

// filesMax bounds the files of one deployment.
const filesMax = 100

// clusterService serves the API. Reads come from the published view, writes go
// through the loop.
type clusterService struct {
	aloftv1connect.UnimplementedClusterServiceHandler // of ListTasks and Watch, see newClusterHandler

	master *Master
}

var _ aloftv1connect.ClusterServiceHandler = (*clusterService)(nil)

// GetInfo says who leads and which routers are there.
func (s *clusterService) GetInfo(
	_ context.Context, _ *connect.Request[pb.GetInfoRequest],
) (*connect.Response[pb.GetInfoResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	info := &pb.GetInfoResponse{
		Version: s.master.cfg.Version, Master: s.master.cfg.ID, Epoch: r.term.Epoch(),
		Revision: r.view.at(), LeadingSince: wire.FromTime(r.since),
	}
	if room, kept := s.master.store.Room(); kept {
		stands := standingOf(room)
		info.Room = &pb.StoreRoom{UsedBytes: room.Used, QuotaBytes: room.Quota, Scarce: stands >= scarce, Full: stands >= full}
	}
	routers := r.hub.confirmations()
	for _, name := range slices.Sorted(maps.Keys(routers)) {
		said := wire.FromConfirmation(routers[name])
		info.Routers = append(info.Routers, &pb.RouterInfo{
			Id: string(name), Connected: true, Applied: said.GetApplied(), ClosedPorts: said.GetClosedPorts(),
		})
	}
	return connect.NewResponse(info), nil
}

// Validate reads specs and tells their problems.
func (*clusterService) Validate(
	_ context.Context, req *connect.Request[pb.ValidateRequest],
) (*connect.Response[pb.ValidateResponse], error) {
	submissions, problems, err := readFiles(req.Msg.GetFiles())
	if err != nil {
		return nil, err
	}
	answer := &pb.ValidateResponse{Problems: problems}
	for _, submission := range submissions {
		answer.Specs = append(answer.Specs, wire.FromSpec(submission.Spec))
	}
	return connect.NewResponse(answer), nil
}

// Plan says what Deploy would do.
func (s *clusterService) Plan(
	ctx context.Context, req *connect.Request[pb.PlanRequest],
) (*connect.Response[pb.PlanResponse], error) {
	submissions, err := mustRead(req.Msg.GetFiles())
	if err != nil {
		return nil, err
	}
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	report, err := ask(ctx, r, func(e *engine.Engine) (engine.PlanReport, error) { return e.Plan(submissions, time.Now()) })
	if err != nil {
		return nil, apiError(err)
	}
	answer := &pb.PlanResponse{}
	for _, plan := range report.Services {
		answer.Plans = append(answer.Plans, wire.FromPlan(plan))
	}
	return connect.NewResponse(answer), nil
}

// Deploy makes every spec the wanted one, or none.
func (s *clusterService) Deploy(
	ctx context.Context, req *connect.Request[pb.DeployRequest],
) (*connect.Response[pb.DeployResponse], error) {
	submissions, err := mustRead(req.Msg.GetFiles())
	if err != nil {
		return nil, err
	}
	if size := len(req.Msg.GetReason()); size > reasonBytesMax {
		return nil, invalidArgument(fmt.Errorf("reason: it has %d bytes; want at most %d", size, reasonBytesMax))
	}
	versions := make(map[id.Service]int64, len(req.Msg.GetVersions()))
	for name, version := range req.Msg.GetVersions() {
		versions[id.Service(name)] = version
	}
	answer, err := s.master.submit(ctx, engine.Deploy{
		Specs: submissions, Reason: req.Msg.GetReason(), Versions: versions,
	})
	if err != nil {
		return nil, apiError(err)
	}
	response := &pb.DeployResponse{}
	for i, deployed := range answer.Deployed {
		response.Services = append(response.Services, fromDeployed(deployed, submissions[i].Spec.Kind))
	}
	return connect.NewResponse(response), nil
}

func fromDeployed(d engine.Deployed, kind spec.Kind) *pb.DeployedService {
	return &pb.DeployedService{
		Service: string(d.Service), Kind: pb.SpecKind(kind), Revision: int64(d.Revision),
		Deployment: string(d.Deployment), Changed: d.Changed, Run: d.Run,
	}
}

// mustRead returns the specs of files, or an error that carries every problem
// as its detail.
func mustRead(files []*pb.SpecFile) ([]engine.Submission, error) {
	submissions, problems, err := readFiles(files)
	if err != nil || len(problems) == 0 {
		return submissions, err
	}
	refused := connect.NewError(connect.CodeInvalidArgument, errors.New(textOf(problems)))
	if detail, err := connect.NewErrorDetail(&pb.Problems{Problems: problems}); err == nil {
		refused.AddDetail(detail)
	}
	return nil, refused
}

// readFiles decodes files. The problems are those of what they say; the error
// is that of a request that has no files, or too many.
func readFiles(files []*pb.SpecFile) ([]engine.Submission, []*pb.Problem, error) {
	if len(files) == 0 || len(files) > filesMax {
		return nil, nil, invalidArgument(fmt.Errorf("files: found %d; want 1 to %d", len(files), filesMax))
	}
	var submissions []engine.Submission
	var problems []*pb.Problem
	for _, file := range files {
		read, err := specfile.Documents(file.GetName(), file.GetText())
		problems = append(problems, problemsOf(file.GetName(), err)...)
		for _, document := range read {
			submission := engine.Submission{Spec: document.Spec, Source: document.Source}
			problems = append(problems, problemsOf(file.GetName(), specSize(submission))...)
			submissions = append(submissions, submission)
		}
	}
	return submissions, problems, nil
}

// problemsOf returns what a file's error says, problem by problem.
func problemsOf(file string, err error) []*pb.Problem {
	if err == nil {
		return nil
	}
	told, ok := errors.AsType[specfile.Problems](err)
	if !ok {
		return []*pb.Problem{{File: file, Message: err.Error()}}
	}
	var list []*pb.Problem
	for _, p := range told {
		list = append(list, &pb.Problem{
			File: p.File, Line: int32(p.Line), Column: int32(p.Column), Field: p.Field, Message: p.Message,
		})
	}
	return list
}

// textOf returns problems as people read them, one on a line.
func textOf(problems []*pb.Problem) string {
	lines := make([]string, 0, len(problems))
	for _, p := range problems {
		lines = append(lines, specfile.Problem{File: p.GetFile(), Problem: spec.Problem{
			Line: int(p.GetLine()), Column: int(p.GetColumn()), Field: p.GetField(), Message: p.GetMessage(),
		}}.String())
	}
	return strings.Join(lines, "\n")
}
