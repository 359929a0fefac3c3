package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) breaker() *cobra.Command {
	cmd := &cobra.Command{
		Use: "breaker", Short: "Show the breaker: whether too much fails together for aloft to act on it",
		Long: "Show the breaker: whether too much fails together for aloft to act on it.\n\n" +
			"It opens when too many agents fall silent together. While it is open, no task is given up because its agent is\n" +
			"silent, and none is replaced because it is not alive. It closes by itself when enough agents are back, and by\n" +
			"'aloft breaker release' when they will not come back. The instances of each service have such a breaker, too:\n" +
			"while that is open, none of them is replaced because it is not alive.",
		Example: "  aloft breaker\n  aloft breaker release\n  aloft breaker set --limit 50%", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, a, clusterAPI.GetBreaker, &pb.GetBreakerRequest{}, func(r *pb.GetBreakerResponse) {
				a.showBreaker(cmd.OutOrStdout(), r.GetBreaker())
			})
		},
	}
	cmd.AddCommand(a.releaseBreaker(), a.setBreaker())
	return cmd
}

func (a *app) releaseBreaker() *cobra.Command {
	return &cobra.Command{
		Use: "release [SERVICE]", Short: "Close the breaker although agents are missing or instances unhealthy: they are replaced",
		Long: "Close the breaker although agents are missing or instances unhealthy: they are replaced. With a service, only the\n" +
			"breaker over its instances is closed.",
		Example: "  aloft breaker release\n  aloft breaker release web", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &pb.ReleaseBreakerRequest{Service: strings.Join(args, "")}
			return call(cmd, a, clusterAPI.ReleaseBreaker, request, say(cmd, func(r *pb.ReleaseBreakerResponse) string {
				if !r.GetReleased() {
					return "the breaker was not open"
				}
				return "the breaker is released: what is missing or unhealthy now is replaced, and it does not open for that again"
			}))
		},
	}
}

func (a *app) setBreaker() *cobra.Command {
	request := &pb.SetBreakerRequest{}
	var limit string
	var window time.Duration
	cmd := &cobra.Command{
		Use: "set", Short: "Set when the breaker opens; what is not named stays as it is",
		Example: "  aloft breaker set --limit 50%\n  aloft breaker set --window 1m\n  aloft breaker set --limit off", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("limit") && !cmd.Flags().Changed("window") {
				return UsageError("%s: nothing to change; want --limit or --window", cmd.CommandPath())
			}
			if cmd.Flags().Changed("limit") {
				percent, err := parseLimit(limit)
				if err != nil {
					return err
				}
				request.LimitPercent = new(percent)
			}
			if cmd.Flags().Changed("window") {
				request.Window = durationpb.New(window)
			}
			return call(cmd, a, clusterAPI.SetBreaker, request, say(cmd, func(r *pb.SetBreakerResponse) string {
				return "breaker: " + breakerRule(r.GetBreaker())
			}))
		},
	}
	cmd.Flags().StringVar(&limit, "limit", "", "it opens when more than so many percent of the agents fall silent together: 1% to 99%, or off")
	cmd.Flags().DurationVar(&window, "window", 0, "together means within this time: 1s to 1h")
	return cmd
}

// parseLimit reads a share of the agents; off, or 0, is 0.
func parseLimit(text string) (int32, error) {
	if text == "off" {
		return 0, nil
	}
	percent, err := strconv.ParseUint(strings.TrimSuffix(text, "%"), 10, 31)
	if err != nil || percent > 99 {
		return 0, UsageError("--limit: found %q; want 1%% to 99%%, or off", text)
	}
	return int32(percent), nil
}

func (a *app) showBreaker(w io.Writer, b *pb.Breaker) {
	if !b.GetOpen() && len(b.GetServices()) == 0 {
		fmt.Fprintln(w, "breaker: closed")
	}
	a.showOpenBreakers(w, b, "")
	fmt.Fprintln(w, breakerRule(b))
	if b.GetOpen() {
		a.listMissing(w, b)
	}
	if len(b.GetServices()) > 0 {
		a.listSick(w, b)
	}
}

func (a *app) listMissing(w io.Writer, b *pb.Breaker) {
	fmt.Fprintln(w)
	var rows [][]string
	for _, missing := range b.GetMissing() {
		rows = append(rows, []string{missing.GetAgent(), a.clock(missing.GetSilentSince()), a.age(missing.GetSilentSince())})
	}
	table(w, "MISSING SINCE FOR", rows)
}

func (a *app) listSick(w io.Writer, b *pb.Breaker) {
	fmt.Fprintln(w)
	var rows [][]string
	for _, s := range b.GetServices() {
		rows = append(rows, []string{
			s.GetService(), fmt.Sprintf("%d/%d", len(s.GetUnhealthy()), s.GetInstances()), a.clock(s.GetOpenSince()), a.age(s.GetOpenSince()),
			strings.Join(s.GetUnhealthy(), ", "),
		})
	}
	table(w, "SERVICE UNHEALTHY SINCE FOR TASKS", rows)
}

// breakerText says what an open breaker does.
func (a *app) breakerText(b *pb.Breaker) string {
	return fmt.Sprintf("breaker: open for %s, %d of %d agents are missing; nothing is replaced for that",
		a.age(b.GetOpenSince()), len(b.GetMissing()), b.GetAgents())
}

// breakerRule says when the breaker opens.
func breakerRule(b *pb.Breaker) string {
	if b.GetLimitPercent() == 0 {
		return "it never opens"
	}
	return fmt.Sprintf("it opens when more than %d%% of the agents, and at least 2, fall silent within %v; for a service, when so many of its instances turn unhealthy",
		b.GetLimitPercent(), b.GetWindow().AsDuration())
}

// showOpenBreakers prints a line for each breaker that is open.
func (a *app) showOpenBreakers(w io.Writer, b *pb.Breaker, advice string) {
	if b.GetOpen() {
		fmt.Fprintln(w, a.alarm(a.breakerText(b)+advice))
	}
	for _, s := range b.GetServices() {
		fmt.Fprintln(w, a.alarm(fmt.Sprintf("breaker of %s: open for %s, %d of %d instances are unhealthy; none is replaced for that%s",
			s.GetService(), a.age(s.GetOpenSince()), len(s.GetUnhealthy()), s.GetInstances(), advice)))
	}
}

// alarm has a line stand out where a terminal shows it.
func (a *app) alarm(line string) string {
	if !isTerminal(a.cfg.Out) || os.Getenv("NO_COLOR") != "" {
		return line
	}
	return lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Red).Render(line)
}
