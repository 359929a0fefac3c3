// Package cli is the commands with which people and scripts use a cluster.
//
// Each command asks a master by its API, prints what it learned, and exits with
// a code that says how it went. With --json it prints the API's own answer, so
// that a script reads the same names as a program. The package keeps no state.
package cli

import (
	"cmp"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/client"
)

// addressVariable names the environment variable with the master's address.
const addressVariable = "ALOFT_ADDR"

// Config is what the commands are made with.
type Config struct {
	Version  string
	In       io.Reader
	Out, Err io.Writer
	Now      func() time.Time // tells the time, and in its location times are shown; default time.Now
}

// app is what the commands share.
type app struct {
	cfg     Config
	address addressFlag
	json    bool
	masters *client.Client // nil until the first call
}

// addressFlag is the masters' addresses on the command line. An empty one is
// refused: what a variable did not name must not be asked of another cluster.
type addressFlag string

// Set takes addresses.
func (a *addressFlag) Set(text string) error {
	if text == "" {
		return errors.New("want an address such as " + client.DefaultAddress)
	}
	*a = addressFlag(text)
	return nil
}

// String is how they are written.
func (a *addressFlag) String() string { return string(*a) }

// Type is their name in the help.
func (*addressFlag) Type() string { return "string" }

// origin says who named the masters.
func (a *addressFlag) origin() string {
	if *a == "" {
		return "$" + addressVariable
	}
	return "--addr"
}

// New returns the command that all others hang on.
func New(cfg Config) *cobra.Command {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &app{cfg: cfg}
	root := &cobra.Command{
		Use:   "aloft",
		Short: "Run services and jobs on a cluster, and change what runs without a gap",
		Long: "aloft pools the machines of a cluster, runs services and jobs on them, and changes what runs without a gap.\n\n" +
			exitHelp,
		Example:       "  aloft dev                     # a whole cluster on this machine\n  aloft deploy web.yaml\n  aloft status web",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       cfg.Version,
	}
	root.SetIn(cfg.In)
	root.SetOut(cfg.Out)
	root.SetErr(cfg.Err)
	root.PersistentFlags().Var(&a.address, "addr", "address of a master, or of several with commas (default $"+addressVariable+" or "+client.DefaultAddress+")")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the API's answer as JSON")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return UsageError("%v\nSee '%s --help'", err, cmd.CommandPath())
	})
	a.addCommands(root)
	refuseUnknownHelp(root)
	return root
}

// refuseUnknownHelp has help fail where there is no such command.
func refuseUnknownHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		about, _, err := root.Find(args)
		if err != nil {
			return UsageError("%v", err)
		}
		about.InitDefaultHelpFlag()
		return about.Help()
	}
}

// Groups of commands that others hang on, too.
const (
	MachinesGroup = "machines" // what is done with machines and pools
	RolesGroup    = "roles"    // what runs the parts of a cluster
)

// addCommands hangs the commands on root, in groups by what they are for.
func (a *app) addCommands(root *cobra.Command) {
	const change, look = "change", "look"
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
		}
		root.AddCommand(commands...)
	}
	root.AddGroup(
		&cobra.Group{ID: change, Title: "Change what runs:"},
		&cobra.Group{ID: look, Title: "See what runs:"},
		&cobra.Group{ID: MachinesGroup, Title: "Machines and pools:"},
		&cobra.Group{ID: RolesGroup, Title: "Run a cluster:"},
	)
	add(change,
		a.validate(), a.plan(), a.deploy(), a.run(),
		a.complete(serviceNames, a.rollback()), a.complete(serviceNames, a.scale()),
		a.complete(serviceNames, a.restart()), a.complete(serviceNames, a.stop()),
		a.complete(deploymentNames, a.pause()), a.complete(deploymentNames, a.resume()), a.complete(deploymentNames, a.abort()),
	)
	add(look,
		a.complete(serviceNames, a.status()), a.services(), a.complete(serviceNames, a.tasks()), a.complete(serviceNames, a.logs()),
		a.events(), a.complete(serviceNames, a.explain()), a.complete(serviceNames, a.history()), a.complete(serviceNames, a.deployments()),
	)
	add(MachinesGroup,
		a.listMasters(), a.backup(), a.agents(), a.complete(agentNames, a.partitions()), a.pools(), a.capacity(),
		a.complete(agentNames, a.drain()), a.complete(agentNames, a.undrain()), a.complete(serviceNames, a.rebalance()), a.breaker(),
	)
	root.AddCommand(a.schema(), a.version())
}

// cluster returns the API of the masters that the command line or the
// environment names.
func (a *app) cluster() (clusterAPI, error) {
	if a.masters == nil {
		addresses := cmp.Or(string(a.address), os.Getenv(addressVariable), client.DefaultAddress)
		list := strings.Split(addresses, ",")
		for _, address := range list {
			if err := client.CheckAddress(address); err != nil {
				return nil, UsageError("%s: %v", a.address.origin(), err)
			}
		}
		masters, err := client.New(list...)
		if err != nil {
			return nil, &exitError{ExitUsage, err}
		}
		a.masters = masters
		putOffCollection()
	}
	return a.masters.Cluster(), nil
}
