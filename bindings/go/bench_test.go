package ferry

import (
	"testing"
	"time"

	"ferry/raw"
)

type counter struct{ count, sum int64 }

func (c *counter) completed(_ *op, record *raw.Completion) {
	c.count++
	c.sum += record.Result
}

// BenchmarkReap is what it costs to take one completion from the mapped ring and to tell its owner. The
// reaper is called by hand, and only while it takes is the time counted.
func BenchmarkReap(b *testing.B) {
	const ring = 1024
	n, status := createNative(raw.EngineOptions{Shards: 1}, raw.QueueOptions{Mode: raw.QueueMapped, Capacity: ring})
	if status != 0 {
		b.Fatal(status)
	}
	e := &Engine{native: n, awake: true}
	owner := &counter{}
	o := &op{owner: owner}
	o.tag = e.take(o)
	r := &reaper{engine: e}
	var taking time.Duration
	for done := 0; done < b.N; done += ring {
		for i := 0; i < ring; i++ {
			if status := n.post(uint64(o.tag), 1, 0); status != 0 {
				b.Fatal(status)
			}
		}
		begin := time.Now()
		r.takeAll()
		taking += time.Since(begin)
	}
	if owner.count != owner.sum || owner.count < int64(b.N) {
		b.Fatal(owner)
	}
	b.ReportMetric(float64(taking.Nanoseconds())/float64(owner.count), "ns/completion")
	n.shutdown(raw.Forever)
	n.destroy()
}
