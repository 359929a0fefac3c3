package cli

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

func (a *app) pools() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pools", Short: "List pools; create, change and delete them",
		Example: "  aloft pools\n  aloft pools create web --quantity cpus=8,mem=16GiB --priority 10",
		Args:    NoArguments, RunE: func(cmd *cobra.Command, _ []string) error { return a.listPools(cmd) },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List pools", Example: "  aloft pools list", Args: NoArguments,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listPools(cmd) },
		},
		a.createPool(), a.complete(poolNames, a.setPool()), a.complete(poolNames, a.deletePool()),
	)
	return cmd
}

func (a *app) listPools(cmd *cobra.Command) error {
	return show(cmd, a, &pb.ListPoolsRequest{}, list[pb.ListPoolsRequest, pb.ListPoolsResponse, *pb.PoolView]{
		method: clusterAPI.ListPools, items: (*pb.ListPoolsResponse).GetPools,
		head: "POOL PRIORITY WEIGHT QUANTITY CLAIMED FREE NOTE",
		row: func(v *pb.PoolView) []string {
			note := ""
			if len(v.GetOvercommitted()) > 0 {
				note = "overcommitted: " + strings.Join(v.GetOvercommitted(), ", ") + "; nothing starts, nothing is stopped"
			}
			return []string{
				v.GetPool().GetId(), number(v.GetPool().GetPriority()), poolWeight(v.GetPool()), quantities(v.GetPool().GetQuantities()),
				quantities(v.GetClaimed()), quantities(v.GetFree()), note,
			}
		},
	})
}

// amountHelp says how quantities are given.
const amountHelp = "TYPE=AMOUNT, such as cpus=8 or mem=16GiB; several with commas or several times"

// What the numbers of a pool mean.
const (
	priorityHelp = "of several pools with room, the highest gives; what waits for it is served first"
	weightHelp   = "how much of what jobs get is its part, beside other pools of its priority"
)

// weightOne is the weight of a pool that has no other, in thousandths.
const weightOne = 1000

// poolWeight returns the weight of a pool as it is typed.
func poolWeight(pool *pb.Pool) string { return weight(cmp.Or(pool.GetWeightThousandths(), weightOne)) }

// setWeight sets the weight of a pool, if one was given.
func setWeight(cmd *cobra.Command, pool *pb.Pool, share float64) error {
	if !cmd.Flags().Changed("weight") {
		return nil
	}
	if !(share >= 0.001 && share <= 1_000_000) {
		return UsageError("--weight: found %v; want 0.001 to 1000000", share)
	}
	pool.WeightThousandths = int64(math.Round(share * weightOne))
	return nil
}

func (a *app) createPool() *cobra.Command {
	pool := &pb.Pool{}
	var amounts []string
	var share float64
	cmd := &cobra.Command{
		Use: "create POOL", Short: "Make a pool; what has no quantity is not bounded",
		Example: "  aloft pools create web --quantity cpus=8,mem=16GiB --priority 10", Args: exactly("POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			quantities, err := parseAmounts(amounts)
			if err != nil {
				return err
			}
			pool.Id, pool.Quantities = args[0], quantities
			if err := setWeight(cmd, pool, share); err != nil {
				return err
			}
			return a.writePool(cmd, &pb.SetPoolRequest{Pool: pool, Create: true})
		},
	}
	cmd.Flags().StringArrayVar(&amounts, "quantity", nil, amountHelp)
	cmd.Flags().Int32Var(&pool.Priority, "priority", 0, priorityHelp)
	cmd.Flags().Float64Var(&share, "weight", 1, weightHelp)
	return cmd
}

func (a *app) setPool() *cobra.Command {
	var amounts []string
	var priority int32
	var share float64
	var version int64
	cmd := &cobra.Command{
		Use: "set POOL", Short: "Change a pool; what is not named stays as it is",
		Example: "  aloft pools set web --quantity cpus=16\n  aloft pools set web --quantity mem=unbounded --priority 5\n  aloft pools set batch --weight 2", Args: exactly("POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(amounts) == 0 && !cmd.Flags().Changed("priority") && !cmd.Flags().Changed("weight") {
				return UsageError("%s: nothing to change; want --quantity, --priority or --weight", cmd.CommandPath())
			}
			pool, err := a.findPool(cmd, args[0])
			if err != nil {
				return err
			}
			if err := change(pool, amounts); err != nil {
				return err
			}
			if cmd.Flags().Changed("priority") {
				pool.Priority = priority
			}
			if err := setWeight(cmd, pool, share); err != nil {
				return err
			}
			if version != 0 {
				pool.Version = version
			}
			return a.writePool(cmd, &pb.SetPoolRequest{Pool: pool})
		},
	}
	cmd.Flags().StringArrayVar(&amounts, "quantity", nil, amountHelp+"; TYPE=unbounded lifts a bound")
	cmd.Flags().Int32Var(&priority, "priority", 0, priorityHelp)
	cmd.Flags().Float64Var(&share, "weight", 1, weightHelp)
	versionFlag(cmd, &version)
	return cmd
}

func (a *app) writePool(cmd *cobra.Command, request *pb.SetPoolRequest) error {
	return call(cmd, a, clusterAPI.SetPool, request, say(cmd, func(r *pb.SetPoolResponse) string {
		text := "not bounded"
		if len(r.GetPool().GetQuantities()) > 0 {
			text = quantities(r.GetPool().GetQuantities())
		}
		text = r.GetPool().GetId() + ": " + text + ", priority " + number(r.GetPool().GetPriority())
		if r.GetPool().GetWeightThousandths() != 0 {
			text += ", weight " + poolWeight(r.GetPool())
		}
		return text
	}))
}

// findPool returns a pool as it is now. Its version guards what is written back.
func (a *app) findPool(cmd *cobra.Command, name string) (*pb.Pool, error) {
	all, err := pages(cmd.Context(), a, clusterAPI.ListPools, &pb.ListPoolsRequest{})
	if err != nil {
		return nil, err
	}
	for _, v := range all.GetPools() {
		if v.GetPool().GetId() == name {
			return v.GetPool(), nil
		}
	}
	return nil, &exitError{ExitNotFound, fmt.Errorf("unknown pool: %s; 'aloft pools create' makes one", name)}
}

// change puts the amounts in place of those of the same types.
func change(pool *pb.Pool, amounts []string) error {
	var bounded []string
	for _, pair := range pairsOf(amounts) {
		name, text, _ := strings.Cut(pair, "=")
		pool.Quantities = slices.DeleteFunc(pool.GetQuantities(), func(q *pb.Quantity) bool { return q.GetType() == name })
		if text != "unbounded" {
			bounded = append(bounded, pair)
		}
	}
	quantities, err := parseAmounts(bounded)
	pool.Quantities = append(pool.Quantities, quantities...)
	return err
}

// pairsOf takes apart pairs that are joined by commas. A part without = belongs
// to the pair before, as in ports=20000-20099,30000.
func pairsOf(texts []string) []string {
	var pairs []string
	for _, text := range texts {
		begun := false
		for part := range strings.SplitSeq(text, ",") {
			if begun && !strings.Contains(part, "=") {
				pairs[len(pairs)-1] += "," + part
				continue
			}
			pairs, begun = append(pairs, part), true
		}
	}
	return pairs
}

// parseAmounts reads TYPE=AMOUNT pairs.
func parseAmounts(texts []string) ([]*pb.Quantity, error) {
	var items []resource.Item
	for _, pair := range pairsOf(texts) {
		name, text, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, UsageError("--quantity: found %q; want TYPE=AMOUNT, such as cpus=8", pair)
		}
		amount, err := resource.Parse(resource.Type(name), text)
		if err != nil {
			return nil, UsageError("--quantity: %v", err)
		}
		items = append(items, resource.Item{Type: resource.Type(name), Quantity: amount})
	}
	vector, err := resource.NewVector(items...)
	if err != nil {
		return nil, UsageError("--quantity: %v", err)
	}
	return wire.FromVector(vector), nil
}

func (a *app) deletePool() *cobra.Command {
	request := &pb.DeletePoolRequest{}
	cmd := &cobra.Command{
		Use: "delete POOL", Short: "Delete a pool that nobody draws from", Example: "  aloft pools delete web", Args: exactly("POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Pool = args[0]
			return call(cmd, a, clusterAPI.DeletePool, request, say(cmd, func(*pb.DeletePoolResponse) string { return args[0] + ": deleted" }))
		},
	}
	versionFlag(cmd, &request.Version)
	return cmd
}
