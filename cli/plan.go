package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) plan() *cobra.Command {
	return &cobra.Command{
		Use: "plan FILE...", Short: "Show what deploy would change, step by step; changes nothing",
		Long: "Show what deploy would change, step by step, and change nothing.\n\n" +
			"The peak is what the deployment takes at its worst moment beyond what the service holds now,\n" +
			"and the pool that gives it. What does not fit is told with what becomes of the deployment then.",
		Example: "  aloft plan web.yaml", Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			files, _, err := a.checked(args)
			if err != nil {
				return err
			}
			return call(cmd, a, clusterAPI.Plan, &pb.PlanRequest{Files: files}, func(r *pb.PlanResponse) {
				for i, p := range r.GetPlans() {
					if i > 0 {
						fmt.Fprintln(cmd.OutOrStdout())
					}
					showPlan(cmd.OutOrStdout(), p)
				}
			})
		},
	}
}

// showPlan prints one service's plan.
func showPlan(w io.Writer, p *pb.ServicePlan) {
	fmt.Fprintf(w, "%s %s: %s\n", kindOf(p.GetKind()), p.GetService(), planText(p))
	for _, c := range p.GetChanges() {
		fmt.Fprintf(w, "  %s: %s -> %s\n", c.GetField(), orDash(c.GetFrom()), orDash(c.GetTo()))
	}
	for i, step := range p.GetSteps() {
		fmt.Fprintf(w, "  %d. %s\n", i+1, step)
	}
	if p.GetChanged() {
		fmt.Fprintf(w, "  peak: %s\n", peakText(p))
	}
	for _, shortage := range p.GetShortages() {
		fmt.Fprintf(w, "  does not fit: %s\n", shortage)
	}
}

// planText says in a few words what a plan comes to.
func planText(p *pb.ServicePlan) string {
	switch {
	case !p.GetChanged():
		return "no change, revision " + number(p.GetTo())
	case p.GetFrom() == 0:
		return "new, revision " + number(p.GetTo())
	case !p.GetReplaces():
		return "revision " + revisions(p.GetFrom(), p.GetTo()) + ", no instance is replaced"
	case runsToCompletion(p.GetKind()):
		return "revision " + revisions(p.GetFrom(), p.GetTo())
	default:
		return "revision " + revisions(p.GetFrom(), p.GetTo()) + ", with new instances"
	}
}

// peakText says what a deployment takes at its worst moment.
func peakText(p *pb.ServicePlan) string {
	if p.GetPeakInstances() == 0 {
		return "nothing extra"
	}
	from := "no pool"
	if len(p.GetPools()) > 0 {
		from = "pool " + strings.Join(p.GetPools(), " or ")
	}
	return fmt.Sprintf("%s extra, %s, from %s", resource.Count(int(p.GetPeakInstances()), "instance"), quantities(p.GetPeakExtra()), from)
}
