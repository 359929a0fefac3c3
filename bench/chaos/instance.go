package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// instanceHeader is that of the task and attempt that answered.
const instanceHeader = "X-Instance"

// instanceWord makes this program an instance of the services under load.
const instanceWord = "instance"

// beInstance is the program of the services: it answers with the number of a
// request, and writes down that of each POST before it answers. It writes down its
// own start, too, and when that attempt had been started before.
func beInstance(arguments []string) error {
	flags := flag.NewFlagSet(instanceWord, flag.ContinueOnError)
	listen := flags.String("listen", "", "serve on this `address`")
	folder := flags.String("journals", "", "`folder` for what is written down")
	alone := flags.String("alone", "", "`file` that no other instance may have at the same time")
	bad := flags.Bool("never-ready", false, "never be ready")
	exit := flags.Bool("exit-at-once", false, "end with code 1")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *exit {
		return errors.New("told to exit at once")
	}
	who := fmt.Sprintf("%s.%s", os.Getenv("ALOFT_TASK_ID"), os.Getenv("ALOFT_ATTEMPT"))
	journal, err := openJournal(*folder, who)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(journal, onWord+os.Getenv("ALOFT_AGENT")); err != nil {
		return err
	}
	if *alone != "" {
		if err := takeAlone(*alone, filepath.Join(*folder, who)); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if *bad {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/{number}", func(w http.ResponseWriter, r *http.Request) {
		number := r.PathValue("number")
		if r.Method == http.MethodPost {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return // it did not come whole, and is not carried out
			}
			if _, err := fmt.Fprintln(journal, number); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		w.Header().Set(instanceHeader, who)
		_, _ = io.WriteString(w, number) // a client that left needs no answer
	})
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_, _ = fmt.Fprintln(journal, stopWord+time.Now().Format(time.RFC3339Nano)) // without it the law is stricter
		_ = server.Shutdown(context.WithoutCancel(ctx))
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// The name of a file that says what must not be ends with one of these: an attempt was
// started again; an instance ran beside another one though there may be one alone.
const twiceSuffix, togetherSuffix = ".twice", ".together"

// onWord stands before the name of the agent in the first line of a journal, stopWord
// before the time at which the instance was told to stop.
const onWord, stopWord = "on ", "told to stop at "

// takeAlone locks a file for as long as this process lives. When another one has it,
// that is written down.
func takeAlone(path, who string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	held := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	runtime.KeepAlive(file)
	if held == nil {
		// The number keeps the file open: it is never closed, also not by the garbage collector.
		_, err := syscall.Dup(int(file.Fd()))
		return err
	}
	return os.WriteFile(fmt.Sprintf("%s.%d%s", who, time.Now().UnixNano(), togetherSuffix), nil, 0o600)
}

// openJournal opens the journal of an attempt, of which there is none yet.
func openJournal(folder, who string) (*os.File, error) {
	path := filepath.Join(folder, who)
	journal, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if errors.Is(err, fs.ErrExist) {
		journal, err = os.OpenFile(fmt.Sprintf("%s.%d%s", path, time.Now().UnixNano(), twiceSuffix), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	}
	return journal, err
}
