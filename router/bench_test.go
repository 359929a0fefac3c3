package router_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// BenchmarkForward compares the router with a bare httputil.ReverseProxy in one
// run: the same instance, the same clients. The CPU is that of all three, so the
// difference between the lines is the difference between the proxies.
func BenchmarkForward(b *testing.B) {
	payload := make([]byte, 1024)
	instance := func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = w.Write(payload)
	}
	requests := map[string]string{
		"GET":  "GET /path HTTP/1.1\r\nHost: hello.localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n",
		"POST": "POST /path HTTP/1.1\r\nHost: hello.localhost\r\nUser-Agent: bench\r\nContent-Length: 11\r\n\r\nhello world",
	}
	for _, method := range []string{"GET", "POST"} {
		b.Run(method+"/proxy=bare", func(b *testing.B) {
			endpoint := backend(b, "t1", instance)
			transport := &http.Transport{MaxIdleConnsPerHost: 512}
			b.Cleanup(transport.CloseIdleConnections)
			proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(&url.URL{Scheme: "http", Host: endpoint.Address})
				p.Out.Host = p.In.Host
				p.SetXForwarded()
			}}
			load(b, backend(b, "proxy", proxy.ServeHTTP).Address, requests[method])
		})
		b.Run(method+"/proxy=aloft", func(b *testing.B) {
			r := start(b, router.Config{})
			r.apply(b, hello(backend(b, "t1", instance)))
			load(b, r.addr, requests[method])
		})
	}
}

// BenchmarkServices compares what a request costs in a table of one service with 10
// instances and of 1,000 such: the difference is that of finding the service and the
// instance. All instances are one server.
func BenchmarkServices(b *testing.B) {
	const instances = 10
	for _, services := range []int{1, 1000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			address := backend(b, "t1", named("ok")).Address
			var table []route.Service
			for n := range services {
				s := route.Service{Name: id.Service(fmt.Sprintf("s%d", n)), Rules: []route.Rule{{Host: fmt.Sprintf("s%d.example.com", n)}}, Hold: time.Minute}
				for i := range instances {
					s.Endpoints = append(s.Endpoints, route.Endpoint{Task: id.Task(fmt.Sprintf("s%d-1-%d", n, i)), Revision: 1, Address: address})
				}
				table = append(table, s)
			}
			r := start(b, router.Config{})
			r.apply(b, table...)
			load(b, r.addr, fmt.Sprintf("GET / HTTP/1.1\r\nHost: s%d.example.com\r\n\r\n", services/2))
		})
	}
}

// load sends b.N requests over 32 connections and reports the CPU that they cost.
func load(b *testing.B, addr, request string) {
	b.Helper()
	b.SetParallelism(16)
	b.ReportAllocs()
	before := cpuMicros(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer drop(conn)
		in := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := io.WriteString(conn, request); err != nil {
				b.Error(err)
				return
			}
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				b.Errorf("answer %s, %v", res.Status, err)
				return
			}
			_ = res.Body.Close()
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpuMicros(b)-before)/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// cpuMicros returns the CPU time of this process, in microseconds.
func cpuMicros(b *testing.B) int64 {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return (used.Utime.Nano() + used.Stime.Nano()) / 1000
}
