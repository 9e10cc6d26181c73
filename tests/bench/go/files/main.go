// Loading whole files: files ferry|os FOLDER COUNT IN_FLIGHT PASSES
//
// Prints one JSON object. So many goroutines load files named 0, 1, 2 ... in turn, by Ferry or by os.ReadFile.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ferry"
)

func number(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func cpuNs() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func main() {
	folder, count, inFlight, passes := os.Args[2], number(3), number(4), number(5)
	load := os.ReadFile
	var engine *ferry.Engine
	if os.Args[1] == "ferry" {
		var err error
		if engine, err = ferry.New(nil); err != nil {
			log.Fatal(err)
		}
		load = func(name string) ([]byte, error) { return engine.LoadFile(context.Background(), name) }
	}
	names := make([]string, count)
	for i := range names {
		names[i] = filepath.Join(folder, strconv.Itoa(i))
	}
	var next, bytes int64
	run := func(total int) {
		next = 0
		var all sync.WaitGroup
		for i := 0; i < inFlight; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				for n := atomic.AddInt64(&next, 1); n <= int64(total); n = atomic.AddInt64(&next, 1) {
					got, err := load(names[int(n-1)%count])
					if err != nil {
						log.Fatal(err)
					}
					atomic.AddInt64(&bytes, int64(len(got)))
				}
			}()
		}
		all.Wait()
	}
	run(count) // Into the page cache, and all threads there.
	bytes = 0
	var before, after ferry.Info
	if engine != nil {
		before, _ = engine.Info()
	}
	begin, cpu := time.Now(), cpuNs()
	run(count * passes)
	elapsed, cpu := time.Since(begin), cpuNs()-cpu
	if engine != nil {
		after, _ = engine.Info()
	}
	json.NewEncoder(os.Stdout).Encode(map[string]int64{"count": int64(count * passes), "bytes": bytes,
		"elapsed_ns": elapsed.Nanoseconds(), "cpu_ns": cpu,
		"crossings": int64(after.Crossings - before.Crossings),
		"sleeps":    int64(after.Sleeps - before.Sleeps)})
}
