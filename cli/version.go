package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// versions is what version prints as JSON.
type versions struct {
	Client string `json:"client"`
	Master string `json:"master,omitempty"`
	Leader string `json:"leader,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program, and of the master it reaches", Example: "  aloft version", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			known := versions{Client: a.cfg.Version}
			info, err := ask(cmd.Context(), a, clusterAPI.GetInfo, &pb.GetInfoRequest{})
			if codeOf(cmd.Context(), err) == ExitUsage {
				return err
			}
			known.Master, known.Leader, known.Epoch = info.GetVersion(), info.GetMaster(), info.GetEpoch()
			if a.json {
				return printJSON(out, known)
			}
			fmt.Fprintf(out, "aloft %s\n", known.Client) // without a master it is still an answer
			fmt.Fprintln(out, masterText(known))
			return nil
		},
	}
}

func masterText(v versions) string {
	if v.Leader == "" {
		return "no master reached"
	}
	return fmt.Sprintf("master %s: aloft %s, epoch %d", v.Leader, v.Master, v.Epoch)
}
