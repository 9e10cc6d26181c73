// The scenarios of bindings/CONFORMANCE.md, written as Go programs are. Run by conformance/run.py.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"ferry"
)

type scenario struct {
	id  string
	run func(*ferry.Engine)
}

// failed is what a scenario panics with; skipped likewise.
type failed string
type skipped string

var scenarios []scenario

func add(id string, run func(*ferry.Engine)) { scenarios = append(scenarios, scenario{id, run}) }

func check(err error) {
	if err != nil {
		panic(failed(err.Error()))
	}
}

func expect(what string, got, want any) {
	if got != want {
		panic(failed(fmt.Sprintf("%s: %v, expected %v", what, got, want)))
	}
}

// fails wants an error that is all of these.
func fails(err error, all ...error) {
	for _, one := range all {
		if !errors.Is(err, one) {
			panic(failed(fmt.Sprintf("%v, expected %v", err, one)))
		}
	}
}

// failsWith wants an error that is one of these.
func failsWith(err error, any ...error) {
	for _, one := range any {
		if errors.Is(err, one) {
			return
		}
	}
	panic(failed(fmt.Sprintf("%v, expected one of %v", err, any)))
}

// settled wants what was given back to have arrived, soon.
func settled(e *ferry.Engine, before ferry.Info) {
	var now ferry.Info
	for i := 0; i < 2000; i++ {
		var err error
		now, err = e.Info()
		check(err)
		if now.OpsInFlight == before.OpsInFlight && now.HandlesOpen == before.HandlesOpen &&
			now.BuffersLent == before.BuffersLent && now.BufferBytesLent == before.BufferBytesLent {
			return
		}
		time.Sleep(time.Millisecond)
	}
	panic(failed(fmt.Sprintf("left over: %+v, before %+v", now, before)))
}

func newEngine(o *ferry.Options) *ferry.Engine {
	if o == nil {
		o = &ferry.Options{}
	}
	o.NoThread = os.Getenv("FERRY_GO_NO_THREAD") != ""
	e, err := ferry.New(o)
	check(err)
	return e
}

func run(e *ferry.Engine, s scenario) {
	defer func() {
		switch what := recover().(type) {
		case nil:
			fmt.Println(s.id, "ok")
		case failed:
			fmt.Println(s.id, "FAIL", string(what))
		case skipped:
			fmt.Println(s.id, "skip", string(what))
		default:
			panic(what)
		}
	}()
	before, err := e.Info()
	check(err)
	s.run(e)
	settled(e, before)
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-exit" {
		exitBusy()
	}
	wanted := map[string]bool{}
	for _, id := range os.Args[1:] {
		wanted[id] = true
	}
	e := newEngine(nil)
	for _, s := range scenarios {
		if len(wanted) == 0 || wanted[s.id] {
			run(e, s)
		}
	}
	check(e.Close())
}
