package ferry

import (
	"context"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"ferry/raw"
)

// Handle names what an engine keeps open, for requests. See Conn.Handle and File.Handle.
type Handle uint64

// Opened stands for the handle that an earlier request of the innermost chain opens, by its index.
func Opened(index int) Handle { return OpenedAbove(index, 0) }

// OpenedAbove is Opened for a chain further out: level 1 is the next one around the innermost.
func OpenedAbove(index, level int) Handle {
	if index < 0 || index >= raw.ChildrenMax || level < 0 || level >= raw.DepthMax {
		return 0
	}
	return Handle(childHandle(uint32(index), uint32(level)))
}

// Request describes an operation, or several as one: Chain, All, Race, Retry. It is a value; nothing
// happens before Engine.Do.
type Request struct {
	raw      raw.Request
	text     string // A path or name, borrowed.
	bytes    []byte // To send, write or store.
	room     int    // To receive or read into.
	children []Request
	wrong    Status // It cannot be described.
}

func plain(opcode uint16, target Handle) Request {
	return Request{raw: raw.Request{Opcode: opcode, Target: uint64(target)}}
}

func withText(opcode uint16, text string) Request {
	r := plain(opcode, 0)
	r.text = text
	if strings.IndexByte(text, 0) >= 0 {
		r.wrong = ErrInvalid
	}
	return r
}

// Within bounds a request in time: from its submission, or as a part of another from its own start.
func (r Request) Within(limit time.Duration) Request {
	if limit <= 0 {
		limit = 1
	}
	r.raw.DeadlineNs = uint64(limit)
	return r
}

// Tagged gives the request a number, which comes back in its Result as a part of another.
func (r Request) Tagged(tag uint64) Request {
	r.raw.Tag = tag
	return r
}

// SleepFor waits.
func SleepFor(d time.Duration) Request {
	r := plain(raw.OpTimer, 0)
	if d > 0 {
		r.raw.Timer().DelayNs = uint64(d)
	}
	return r
}

// ConnectTo opens a connection to an address or a name. Its Result has the Handle.
func ConnectTo(address string) Request {
	r, err := connectRequest("tcp", address)
	if err != nil {
		return Request{wrong: ErrInvalid}
	}
	return r
}

// ReceiveFrom receives some bytes. Result.Data has them; it is empty at the end of the stream.
func ReceiveFrom(stream Handle) Request {
	r := plain(raw.OpStreamReceive, stream)
	r.raw.Flags = raw.Lend
	return r
}

// ReceiveInto receives some bytes, at most so many.
func ReceiveInto(stream Handle, size int) Request {
	r := plain(raw.OpStreamReceive, stream)
	r.room = size
	return r
}

// ReceiveExactly receives so many bytes.
func ReceiveExactly(stream Handle, size int) Request {
	r := plain(raw.OpStreamReceiveExactly, stream)
	r.room = size
	return r
}

// ReceiveUntil receives up to and with a delimiter of 1 to 16 bytes, at most size bytes.
func ReceiveUntil(stream Handle, delimiter string, size int) Request {
	r := plain(raw.OpStreamReceiveUntil, stream)
	until := r.raw.ReceiveUntil()
	if len(delimiter) > len(until.Delimiter) {
		r.wrong = ErrInvalid
		return r
	}
	until.DelimiterSize = uint64(copy(until.Delimiter[:], delimiter))
	r.room = size
	return r
}

// SendTo sends bytes, all of them. They are copied when the request is submitted.
func SendTo(stream Handle, bytes []byte) Request {
	r := plain(raw.OpStreamSend, stream)
	r.bytes = bytes
	return r
}

// ShutDown ends the sending side of a stream when what was submitted before is sent.
func ShutDown(stream Handle) Request { return plain(raw.OpStreamShutdown, stream) }

// CloseHandle closes anything.
func CloseHandle(handle Handle) Request { return plain(raw.OpHandleClose, handle) }

// CopyTo copies one stream or file to another: so many bytes, or with -1 until the source ends.
func CopyTo(to, from Handle, size int64) Request {
	r := plain(raw.OpHandleCopy, from)
	r.raw.Copy().To = uint64(to)
	r.raw.Copy().Size = uint64(size)
	return r
}

// LoadFrom loads a whole file; larger than limit is ErrLimit, 0 is no limit.
func LoadFrom(path string, limit int64) Request {
	r := withText(raw.OpFileLoad, path)
	r.raw.Load().SizeMax = uint64(limit)
	return r
}

// StoreTo stores a whole file so that the path names the old one or the new one, complete.
func StoreTo(path string, bytes []byte, mode os.FileMode) Request {
	r := withText(raw.OpFileStore, path)
	r.bytes = bytes
	r.raw.Store().Mode = uint64(mode.Perm())
	return r
}

// OpenAt opens a file, with the flags of package os.
func OpenAt(path string, flag int, mode os.FileMode) Request {
	r := withText(raw.OpFileOpen, path)
	open := r.raw.Open()
	open.Mode = uint32(mode.Perm())
	flags, ok := openFlags(flag)
	if !ok {
		r.wrong = ErrInvalid
	}
	open.OpenFlags = flags
	return r
}

func openFlags(flag int) (flags uint32, ok bool) {
	switch flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR) {
	case os.O_RDONLY:
		flags = raw.OpenRead
	case os.O_WRONLY:
		flags = raw.OpenWrite
	default:
		flags = raw.OpenRead | raw.OpenWrite
	}
	known := os.O_RDONLY | os.O_WRONLY | os.O_RDWR | syscall.O_CLOEXEC
	for one, bit := range map[int]uint32{os.O_CREATE: raw.OpenCreate, os.O_EXCL: raw.OpenExclusive,
		os.O_TRUNC: raw.OpenTruncate, os.O_APPEND: raw.OpenAppend,
		syscall.O_NOFOLLOW: raw.OpenNoFollow} {
		known |= one
		if flag&one == one {
			flags |= bit
		}
	}
	return flags, flag&^known == 0
}

// ReadAt reads at most size bytes of a file.
func ReadAt(file Handle, size int, offset int64) Request {
	r := plain(raw.OpFileRead, file)
	r.room = size
	r.raw.File().Offset = uint64(offset)
	return r
}

// WriteAt writes bytes to a file.
func WriteAt(file Handle, bytes []byte, offset int64) Request {
	r := plain(raw.OpFileWrite, file)
	r.bytes = bytes
	r.raw.File().Offset = uint64(offset)
	return r
}

// Chain runs requests one after the other, until one fails.
func Chain(requests ...Request) Request { return composed(raw.OpChain, requests) }

// All runs requests together, until all have ended.
func All(requests ...Request) Request { return composed(raw.OpAll, requests) }

// Race runs requests together until the first has ended; the others are cancelled.
func Race(requests ...Request) Request { return composed(raw.OpRace, requests) }

// Retry runs a request again while it fails, at most so many times (0: no limit), after a delay that
// doubles each time up to a longest one (0: no limit).
func Retry(attempts int, delay, longest time.Duration, request Request) Request {
	r := composed(raw.OpRetry, []Request{request})
	retry := r.raw.Retry()
	retry.AttemptsMax, retry.DelayNs, retry.DelayMaxNs = uint64(attempts), uint64(delay), uint64(longest)
	return r
}

func composed(opcode uint16, children []Request) Request {
	r := plain(opcode, 0)
	r.children = children
	return r
}

// Result is what became of a request.
type Result struct {
	Err      error  // nil, or an *Error.
	N        int64  // Bytes, or a count.
	Data     []byte // What was received, read or loaded.
	Handle   Handle // What was opened, or else worked on; 0 if it was closed by a composition.
	Tag      uint64 // As given by Tagged.
	Won      bool   // Of a race: this one ended it.
	Children []Result
}

// Do submits a request and waits for it. The error is that of the whole; the result tells what
// became of each part. Handles in it are the caller's to close: see Adopt and Discard.
func (e *Engine) Do(ctx context.Context, r Request) (Result, error) {
	t := tree{engine: e}
	defer t.free()
	root := request{raw: r.raw, bytes: t.prepare(&r, 1)}
	if t.wrong != 0 {
		err := &Error{Op: opName(r.raw.Opcode), Status: t.wrong}
		return Result{Err: err}, err
	}
	next := 0
	root.encode = func(b *batch, place *raw.Request) { next = t.encode(b, place, &r, next) }
	done := e.do(ctx, &root)
	if !e.enter() {
		err := &Error{Op: opName(r.raw.Opcode), Status: ErrShutdown}
		return Result{Err: err}, err
	}
	at := 0
	result := t.decode(ctx, &done, &r, &at)
	e.leave()
	for _, buffer := range t.lent {
		e.release(buffer)
	}
	result.Tag = r.raw.Tag
	return result, result.Err
}

// Discard closes a handle that a Result brought.
func (e *Engine) Discard(h Handle) { e.discard(uint64(h)) }

// tree is what a Request takes while it is in flight: its pinned memory, in the order of its parts.
type tree struct {
	engine *Engine
	pinned []block
	lent   []uint64
	parts  int
	wrong  Status
}

// prepare pins what must be pinned and says how many bytes the rest takes in a batch.
func (t *tree) prepare(r *Request, depth int) (borrowed int) {
	t.parts++
	if r.wrong != 0 || r.room < 0 {
		t.wrong = ErrInvalid
	}
	if t.parts > raw.ChildrenMax+1 || depth > raw.DepthMax+1 || len(r.children) > raw.ChildrenMax ||
		len(r.text) > raw.PathMax+1 {
		t.wrong = ErrLimit
	}
	if t.wrong != 0 {
		return 0
	}
	if len(r.bytes) > 0 {
		b := t.engine.blocks.take(len(r.bytes))
		copy(b.bytes(), r.bytes)
		t.pinned = append(t.pinned, b)
	} else if r.room > 0 {
		t.pinned = append(t.pinned, t.engine.blocks.take(r.room))
	}
	if r.text != "" {
		borrowed += len(r.text) + 1 + 8
	}
	borrowed += len(r.children)*int(unsafe.Sizeof(raw.Request{})) + 8
	for i := range r.children {
		borrowed += t.prepare(&r.children[i], depth+1)
	}
	return borrowed
}

func (t *tree) free() {
	for _, b := range t.pinned {
		t.engine.blocks.give(b)
	}
}

// encode fills in the addresses, once the request has its place in a batch; next counts the pinned.
func (t *tree) encode(b *batch, place *raw.Request, r *Request, next int) int {
	if r.text != "" {
		text := b.room(len(r.text) + 1)
		copy(text, r.text)
		text[len(r.text)] = 0
		place.Words[0] = number(unsafe.Pointer(&text[0])) // The first word of all that have one.
	}
	if len(r.bytes) > 0 || r.room > 0 {
		pinned := &t.pinned[next]
		next++
		word := 0
		if r.raw.Opcode == raw.OpFileStore {
			word = 1
		}
		place.Words[word], place.Words[word+1] = pinned.at(), uint64(pinned.size)
	}
	if len(r.children) > 0 {
		size := len(r.children) * int(unsafe.Sizeof(raw.Request{}))
		children := unsafe.Slice((*raw.Request)(unsafe.Pointer(&b.room(size)[0])), len(r.children))
		place.Words[0] = number(unsafe.Pointer(&children[0]))
		if r.raw.Opcode != raw.OpRetry {
			place.Words[1] = uint64(len(r.children))
		}
		for i := range r.children {
			children[i] = r.children[i].raw
			next = t.encode(b, &children[i], &r.children[i], next)
		}
	}
	return next
}

// decode copies everything out of C memory; at counts the pinned.
func (t *tree) decode(ctx context.Context, c *raw.Completion, r *Request, at *int) Result {
	result := Result{N: c.Result, Handle: Handle(c.Handle), Tag: c.Tag, Won: c.Flags&raw.Winner != 0}
	result.Err = failure(ctx, opName(r.raw.Opcode), r.text, c)
	if len(r.bytes) > 0 || r.room > 0 {
		pinned := &t.pinned[*at]
		*at++
		if r.room > 0 && c.Result > 0 {
			result.Data = append([]byte(nil), pinned.bytes()[:c.Result]...)
		}
	}
	if c.Flags&raw.Buffer != 0 {
		t.lent = append(t.lent, c.Buffer)
	}
	if len(r.children) == 0 {
		if c.Flags&raw.Buffer != 0 {
			result.Data = append([]byte(nil), lentBytes(c.Data, c.Result)...)
		}
		return result
	}
	// A whole that was cut short before it began has none of its children's.
	completions := make([]raw.Completion, len(r.children))
	for i := range completions {
		completions[i] = raw.Completion{Opcode: r.children[i].raw.Opcode, Status: int32(ErrCanceled)}
	}
	if c.Data != 0 && c.Result > 0 {
		copy(completions, unsafe.Slice((*raw.Completion)(address(c.Data)),
			int(c.Result)/int(unsafe.Sizeof(raw.Completion{}))))
	}
	result.Children = make([]Result, len(completions))
	for i := range completions {
		result.Children[i] = t.decode(nil, &completions[i], &r.children[i], at)
	}
	return result
}

var opNames = map[uint16]string{
	raw.OpTimer: "sleep", raw.OpTcpConnect: "dial", raw.OpTcpConnectName: "dial",
	raw.OpStreamReceive: "receive", raw.OpStreamReceiveExactly: "receive",
	raw.OpStreamReceiveUntil: "receive", raw.OpStreamSend: "send", raw.OpStreamShutdown: "shut down",
	raw.OpHandleClose: "close", raw.OpHandleCopy: "copy", raw.OpFileLoad: "load",
	raw.OpFileStore: "store", raw.OpFileOpen: "open", raw.OpFileRead: "read",
	raw.OpFileWrite: "write", raw.OpChain: "chain", raw.OpAll: "all", raw.OpRace: "race",
	raw.OpRetry: "retry",
}

func opName(opcode uint16) string {
	if name, ok := opNames[opcode]; ok {
		return name
	}
	return "do"
}

func errnoOf(number int32) syscall.Errno {
	if number <= 0 {
		return 0
	}
	return syscall.Errno(number)
}
