package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/id"
)

// members are masters with the URLs of their members, as a flag names them.
type members map[string]string

// Set reads NAME=URL,... and adds to what was given before.
func (m *members) Set(text string) error {
	pairs, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return errors.New("want NAME=URL,..., as in m1=http://10.0.0.1:7118")
	}
	if *m == nil {
		*m = make(members)
	}
	for _, pair := range pairs {
		name, url, ok := strings.Cut(pair, "=")
		if !ok || name == "" || url == "" {
			return fmt.Errorf("found %q; want NAME=URL, as in m1=http://10.0.0.1:7118", pair)
		}
		if _, twice := (*m)[name]; twice {
			return fmt.Errorf("%s is named twice", name)
		}
		for other, its := range *m {
			if its == url {
				return fmt.Errorf("%s and %s have the same URL, %s", other, name, url)
			}
		}
		(*m)[name] = url
	}
	return nil
}

// String is how they are written.
func (m *members) String() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(*m)) {
		pairs = append(pairs, name+"="+(*m)[name])
	}
	return strings.Join(pairs, ",")
}

// Type is their name in the help.
func (*members) Type() string { return "NAME=URL,..." }

// checkMasters refuses --master without an address, or with one that is none.
func checkMasters(addresses []string) error {
	if len(addresses) == 0 {
		return cli.UsageError("--master: found %q; want an address such as %s", "", client.DefaultAddress)
	}
	for _, address := range addresses {
		if err := client.CheckAddress(address); err != nil {
			return cli.UsageError("--master: %v", err)
		}
	}
	return nil
}

// checkFolder refuses --data-dir without a folder.
func checkFolder(dir string) error {
	if dir == "" {
		return cli.UsageError("--data-dir: found %q; want a folder", dir)
	}
	return nil
}

// checkID refuses a name that nothing can have; "" stands for the host's.
func checkID(flag, name string) error {
	if name == "" {
		return nil
	}
	if err := id.Check(id.Agent(name)); err != nil {
		return cli.UsageError("%s: %v", flag, err)
	}
	return nil
}

// checkAdmin refuses an address for --admin on which nobody can listen; "" is none.
func checkAdmin(address string) error {
	if address == "" {
		return nil
	}
	return checkListen("--admin", address)
}

// checkListen refuses an address on which nobody can listen.
func checkListen(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = new(net.Resolver).LookupPort(context.Background(), "tcp", port) // it reads a file
	}
	if err != nil {
		return cli.UsageError("%s: found %q; want HOST:PORT, as in 127.0.0.1:8080", flag, address)
	}
	return nil
}
