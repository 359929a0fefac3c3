package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/specfile"
)

func atLeastOneFile(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage("%s wants one or more spec files; - is standard input\nExample:\n%s", cmd.CommandPath(), cmd.Example)
	}
	return nil
}

// readFiles reads spec files whole, no further than a spec file may go.
func (a *app) readFiles(names []string) ([]*pb.SpecFile, error) {
	var files []*pb.SpecFile
	for _, name := range names {
		text, err := a.readFile(name)
		if err != nil {
			return nil, &exitError{ExitUsage, err}
		}
		files = append(files, &pb.SpecFile{Name: name, Text: text})
	}
	return files, nil
}

func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(a.cfg.In, specfile.SizeMax+1))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("spec file: %w", err)
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, specfile.SizeMax+1)) // one more tells that it is too large
}

// checked reads files and refuses those with problems before a master is asked.
func (a *app) checked(names []string) ([]*pb.SpecFile, []*spec.Spec, error) {
	files, err := a.readFiles(names)
	if err != nil {
		return nil, nil, err
	}
	var specs []*spec.Spec
	var problems []error
	for _, file := range files {
		read, err := specfile.Load(file.GetName(), file.GetText())
		specs = append(specs, read...)
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, nil, &exitError{ExitUsage, err}
	}
	return files, specs, nil
}

func (a *app) validate() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE...", Short: "Check spec files, without a master", Example: "  aloft validate web.yaml", Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, specs, err := a.checked(args)
			if a.json {
				return errors.Join(printJSON(cmd.OutOrStdout(), validityOf(specs, err)), err)
			}
			if err != nil {
				return err
			}
			for _, s := range specs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s: valid\n", s.Kind, s.Name)
			}
			return nil
		},
	}
}

// validity is what validate prints as JSON.
type validity struct {
	Valid    bool     `json:"valid"`
	Specs    []string `json:"specs"`
	Problems []string `json:"problems"`
}

func validityOf(specs []*spec.Spec, err error) validity {
	v := validity{Valid: err == nil, Specs: []string{}, Problems: []string{}}
	for _, s := range specs {
		v.Specs = append(v.Specs, string(s.Name))
	}
	if err != nil {
		v.Problems = strings.Split(err.Error(), "\n")
	}
	return v
}

func (a *app) schema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of spec files, for editors", Example: "  aloft schema > aloft.schema.json", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(spec.Schema()))
			return err
		},
	}
}

func (a *app) plan() *cobra.Command {
	return &cobra.Command{
		Use: "plan FILE...", Short: "Show what deploy would change, step by step; changes nothing", Example: "  aloft plan web.yaml", Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			files, _, err := a.checked(args)
			if err != nil {
				return err
			}
			return call(cmd, a, &pb.PlanRequest{Files: files}, clusterAPI.Plan, func(r *pb.PlanResponse) {
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
	switch {
	case !p.GetChanged():
		fmt.Fprintf(w, "%s %s: no change\n", kindOf(p.GetKind()), p.GetService())
		return
	case p.GetFrom() == 0:
		fmt.Fprintf(w, "%s %s: new, revision %d\n", kindOf(p.GetKind()), p.GetService(), p.GetTo())
	case p.GetReplaces():
		fmt.Fprintf(w, "%s %s: revision %d -> %d, with new instances\n", kindOf(p.GetKind()), p.GetService(), p.GetFrom(), p.GetTo())
	default:
		fmt.Fprintf(w, "%s %s: revision %d -> %d, no instance is replaced\n", kindOf(p.GetKind()), p.GetService(), p.GetFrom(), p.GetTo())
	}
	for _, c := range p.GetChanges() {
		fmt.Fprintf(w, "  %s: %s -> %s\n", c.GetField(), orDash(c.GetFrom()), orDash(c.GetTo()))
	}
	for i, step := range p.GetSteps() {
		fmt.Fprintf(w, "  %d. %s\n", i+1, step)
	}
	if len(p.GetPeakExtra()) > 0 {
		from := "the cluster"
		if len(p.GetPools()) > 0 {
			from = "pool " + strings.Join(p.GetPools(), " or ")
		}
		fmt.Fprintf(w, "  peak: %d more than now, %s, from %s\n", p.GetPeakInstances(), quantities(p.GetPeakExtra()), from)
	}
	for _, shortage := range p.GetShortages() {
		fmt.Fprintf(w, "  does not fit: %s\n", shortage)
	}
}
