package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// The ports that development clusters give to tasks, below those that the kernel
// gives to outgoing connections. Each agent has a block of them.
const (
	devPortsFirst = 20000
	devPortsLast  = 31999
	devPortsEach  = 500
)

// portBlock is the ports of one agent. The socket holds them against the other
// development clusters of this machine; the kernel lets go of it with the process.
type portBlock struct {
	first int
	held  net.Listener
}

// portBlocks is a block for each agent.
type portBlocks []portBlock

// claimPorts takes the first blocks that no other development cluster has.
func claimPorts(ctx context.Context, agents int) (portBlocks, error) {
	var blocks portBlocks
	for first := devPortsFirst; first+devPortsEach-1 <= devPortsLast && len(blocks) < agents; first += devPortsEach {
		var listening net.ListenConfig
		held, err := listening.Listen(ctx, "unix", fmt.Sprintf("@aloft-dev-ports-%d", first))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			blocks.release()
			return nil, fmt.Errorf("ports for tasks: %w", err)
		}
		blocks = append(blocks, portBlock{first, held})
	}
	if len(blocks) < agents {
		blocks.release()
		return nil, fmt.Errorf("ports for tasks: other development clusters have those from %d to %d; want %d for each of %d agents",
			devPortsFirst, devPortsLast, devPortsEach, agents)
	}
	return blocks, nil
}

// text returns the ports of one agent as its flag wants them.
func (b portBlocks) text(agent int) string {
	return fmt.Sprintf("%d-%d", b[agent].first, b[agent].first+devPortsEach-1)
}

// release lets other clusters have the ports.
func (b portBlocks) release() {
	for _, block := range b {
		_ = block.held.Close()
	}
}
