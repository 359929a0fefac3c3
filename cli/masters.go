package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) listMasters() *cobra.Command {
	cmd := &cobra.Command{
		Use: "masters", Short: "List, add, remove and replace masters, and have another one lead",
		Example: "  aloft masters\n  aloft masters transfer\n  aloft masters add m4=http://10.0.0.4:7118", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, a, clusterAPI.ListMasters, &pb.ListMastersRequest{}, func(r *pb.ListMastersResponse) {
				var rows [][]string
				for _, m := range r.GetMasters() {
					rows = append(rows, []string{m.GetId(), m.GetRole(), orDash(m.GetAddress()), orDash(m.GetPeerUrl()), orDash(m.GetVersion()), a.age(m.GetStartedAt())})
				}
				table(cmd.OutOrStdout(), "MASTER ROLE ADDRESS PEER VERSION UP", rows)
				for _, line := range lowDisks(r.GetMasters()) {
					fmt.Fprintln(cmd.OutOrStdout(), a.alarm(line))
				}
				if r.GetNoMajority() {
					fmt.Fprintln(cmd.OutOrStdout(), "no majority of the masters answers: nothing can be changed until one does")
				}
			})
		},
	}
	cmd.AddCommand(a.transferLeadership(), a.addMaster(), a.removeMaster(), a.replaceMaster())
	return cmd
}

// lowDisks says which masters have nearly no room on their disks.
func lowDisks(masters []*pb.MasterInfo) (lines []string) {
	for _, m := range masters {
		if m.GetDiskLow() && m.GetRole() != "absent" {
			lines = append(lines, fmt.Sprintf("master %s: its disk has less than 256MiB left; when it is full, this master ends", m.GetId()))
		}
	}
	return lines
}

func (a *app) transferLeadership() *cobra.Command {
	return &cobra.Command{
		Use: "transfer", Short: "Have another master lead, as before work on the machine of this one", Example: "  aloft masters transfer",
		Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, a, clusterAPI.TransferLeadership, &pb.TransferLeadershipRequest{},
				say(cmd, func(r *pb.TransferLeadershipResponse) string {
					return fmt.Sprintf("%s leads, in place of %s", r.GetTo(), r.GetFrom())
				}))
		},
	}
}

func (a *app) addMaster() *cobra.Command {
	return &cobra.Command{
		Use: "add NAME=URL", Short: "Let a new master join, whose member the others reach at URL", Example: "  aloft masters add m4=http://10.0.0.4:7118",
		Long: "Let a new master join, whose member the others reach at URL.\n\n" +
			"It is started after that, with the command that is printed and an empty data folder. Until it has caught up\n" +
			"it does not vote, and one that never comes does no harm. The cluster goes on working meanwhile.",
		Args: exactly("NAME=URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, url, err := memberOf(args[0])
			if err != nil {
				return err
			}
			return call(cmd, a, clusterAPI.AddMaster, &pb.AddMasterRequest{Name: name, PeerUrl: url}, say(cmd, func(r *pb.AddMasterResponse) string {
				return fmt.Sprintf("%s may join. %s", r.GetName(), starting(r.GetCommand(), r.GetVoting()))
			}))
		},
	}
}

func (a *app) removeMaster() *cobra.Command {
	request := &pb.RemoveMasterRequest{}
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a master out for good, dead or alive", Example: "  aloft masters remove m4\n  aloft masters remove m3 --force",
		Long: "Take a master out for good, dead or alive.\n\n" +
			"Its process ends by itself, and its data folder is of no more use. Refused when the others would be no majority,\n" +
			"and, without --force, when no master could fail after that and one can now.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			return call(cmd, a, clusterAPI.RemoveMaster, request, say(cmd, func(r *pb.RemoveMasterResponse) string {
				return fmt.Sprintf("%s is removed. %s", r.GetName(), tolerance("There are", r.GetVoting()))
			}))
		},
	}
	cmd.Flags().BoolVar(&request.Force, "force", false, "though no master may fail after that")
	return cmd
}

func (a *app) replaceMaster() *cobra.Command {
	request := &pb.ReplaceMasterRequest{}
	cmd := &cobra.Command{
		Use: "replace NAME=URL", Short: "Remove a master whose data is lost, and let another one of its name join",
		Example: "  aloft masters replace m3=http://10.0.0.3:7118", Args: exactly("NAME=URL"),
		Long: "Remove a master whose data is lost, and let another one of its name join.\n\n" +
			"The new one may have the machine and the URL of the old one, or others. It is started with the command that is\n" +
			"printed and an empty data folder. One that works is replaced with --force where no master could fail meanwhile.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if request.Name, request.PeerUrl, err = memberOf(args[0]); err != nil {
				return err
			}
			return call(cmd, a, clusterAPI.ReplaceMaster, request, say(cmd, func(r *pb.ReplaceMasterResponse) string {
				return fmt.Sprintf("The old %s is removed, and the new one may join. %s", r.GetName(), starting(r.GetCommand(), r.GetVoting()))
			}))
		},
	}
	cmd.Flags().BoolVar(&request.Force, "force", false, "though no master may fail until the new one votes")
	return cmd
}

// memberOf reads a master and the URL of its member.
func memberOf(text string) (name, url string, err error) {
	name, url, ok := strings.Cut(text, "=")
	if !ok || name == "" || url == "" {
		return "", "", UsageError("NAME=URL: found %q; want the form m4=http://10.0.0.4:7118", text)
	}
	return name, url, nil
}

// starting says how a master that may join is started.
func starting(command []string, voting int32) string {
	return "Start it on its machine, with an empty data folder:\n\n  " + strings.Join(command, " ") +
		"\n\nIt votes once it has caught up. " + tolerance("Then there are", voting)
}

// tolerance says how many of so many masters may fail.
func tolerance(thereAre string, voting int32) string {
	if voting == 1 {
		return strings.TrimSuffix(thereAre, "are") + "is 1 master, which must not fail."
	}
	may := "none"
	if spare := (voting - 1) / 2; spare > 0 {
		may = fmt.Sprintf("any %d", spare)
	}
	text := fmt.Sprintf("%s %d masters, of which %s may fail.", thereAre, voting, may)
	if voting%2 == 0 {
		text += " Make them an odd number."
	}
	return text
}
