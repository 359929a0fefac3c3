package examples_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNostopAnswers(t *testing.T) {
	t.Parallel()
	nostop := start(t, []string{"PORT_HTTP=0", "VERSION=v2", "ALOFT_TASK_ID=nostop-1"}, "python3", "nostop.py")

	greeting := ask(t, http.MethodGet, nostop.url+"/", "")
	echo := ask(t, http.MethodPost, nostop.url+"/", "ping")

	if greeting.status != 200 || greeting.body != "version v2, instance nostop-1\n" {
		t.Errorf("GET / = %d, %q", greeting.status, greeting.body)
	}
	if echo.status != 200 || echo.body != "ping" || echo.version != "v2" {
		t.Errorf("POST / = %d, %q of %s", echo.status, echo.body, echo.version)
	}
}

func TestNostopEndsAtOnce(t *testing.T) {
	t.Parallel()
	nostop := start(t, []string{"PORT_HTTP=0"}, "python3", "nostop.py")

	nostop.signal(t, syscall.SIGTERM)

	if exit := nostop.exitOf(t); exit != "signal: terminated" {
		t.Errorf("nostop ended with %s; an example without a graceful stop is ended by the signal", exit)
	}
}

func TestNostopClosesIdleConnections(t *testing.T) {
	t.Parallel()
	nostop := start(t, []string{"PORT_HTTP=0"}, "python3", "nostop.py")
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(nostop.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}

	fmt.Fprint(connection, "GET / HTTP/1.1\r\nHost: nostop\r\n\r\n")
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err != nil || response.Close {
		t.Fatalf("the first answer: %v, close %t; want a connection that is kept", err, response.Close)
	}

	if _, err = reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection ended with %v, want EOF", err)
	}
}
