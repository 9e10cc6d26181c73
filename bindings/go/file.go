package ferry

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"ferry/raw"
)

// File is an open file. Its methods are those of *os.File, and any goroutine may call them.
type File struct {
	*file
	engine *Engine
}

type file struct {
	e      *Engine
	handle uint64
	name   string
	append bool
	closer call

	mu     sync.Mutex // Guards the position and what moves it.
	offset int64

	state  sync.Mutex
	closed bool
}

// Open opens a file for reading.
func (e *Engine) Open(name string) (*File, error) { return e.OpenFile(name, os.O_RDONLY, 0) }

// Create makes a file, or empties it if it is there.
func (e *Engine) Create(name string) (*File, error) {
	return e.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0666)
}

// OpenFile opens a file with the flags of package os.
func (e *Engine) OpenFile(name string, flag int, mode os.FileMode) (*File, error) {
	done, err := e.onPath(nil, "open", OpenAt(name, flag, mode))
	if err != nil {
		return nil, err
	}
	f := &file{e: e, handle: done.Handle, name: name, append: flag&os.O_APPEND != 0}
	f.closer.init()
	outer := &File{f, e}
	runtime.SetFinalizer(outer, func(f *File) { f.e.discard(f.handle) })
	return outer, nil
}

// onPath does a request of a path and nothing else that is borrowed or pinned.
func (e *Engine) onPath(ctx context.Context, what string, d Request) (raw.Completion, error) {
	if d.wrong == 0 && len(d.text) > raw.PathMax {
		d.wrong = ErrNameTooLong
	}
	if d.wrong != 0 {
		return raw.Completion{}, &Error{Op: what, Name: d.text, Status: d.wrong}
	}
	r := request{raw: d.raw, bytes: len(d.text) + 16, encode: encodeText(d.text)}
	done := e.do(ctx, &r)
	return done, failure(ctx, what, d.text, &done)
}

// LoadFile loads a whole file. It ends with the context, whatever the file system does.
func (e *Engine) LoadFile(ctx context.Context, name string) ([]byte, error) {
	return e.LoadFileLimit(ctx, name, 0)
}

// LoadFileLimit is LoadFile; a file larger than limit is ErrLimit.
func (e *Engine) LoadFileLimit(ctx context.Context, name string, limit int64) ([]byte, error) {
	if limit < 0 {
		return nil, &Error{Op: "load", Name: name, Status: ErrInvalid}
	}
	done, err := e.onPath(ctx, "load", LoadFrom(name, limit))
	if err != nil {
		return nil, err
	}
	bytes, err := e.copyLent(&done)
	if bytes == nil && err == nil {
		bytes = []byte{}
	}
	return bytes, err
}

// StoreFile stores a whole file so that the name holds the old bytes or the new ones, whatever
// happens, and is durable when it returns. mode 0 keeps that of the file that is replaced.
func (e *Engine) StoreFile(ctx context.Context, name string, bytes []byte, mode os.FileMode) error {
	_, err := e.Do(ctx, StoreTo(name, bytes, mode))
	return err
}

// Stat tells what the system knows of a path.
func (e *Engine) Stat(name string) (fs.FileInfo, error) {
	done, err := e.onPath(nil, "stat", withText(raw.OpPathStat, name))
	if err != nil {
		return nil, err
	}
	return e.fileInfo(name, &done)
}

func (e *Engine) fileInfo(name string, c *raw.Completion) (fs.FileInfo, error) {
	lent, err := e.copyLent(c)
	if err != nil {
		return nil, err
	}
	info := &fileInfo{name: filepath.Base(name)}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&info.raw)), unsafe.Sizeof(info.raw)), lent)
	return info, nil
}

type fileInfo struct {
	name string
	raw  raw.FileInfo
}

var fileTypes = map[uint32]fs.FileMode{
	raw.FileOther: fs.ModeIrregular, raw.FileDirectory: fs.ModeDir, raw.FileLink: fs.ModeSymlink,
	raw.FileFifo: fs.ModeNamedPipe, raw.FileSocket: fs.ModeSocket,
	raw.FileCharacter: fs.ModeDevice | fs.ModeCharDevice, raw.FileBlock: fs.ModeDevice,
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return int64(i.raw.Size) }
func (i *fileInfo) ModTime() time.Time { return time.Unix(0, i.raw.ModifiedNs) }
func (i *fileInfo) IsDir() bool        { return i.raw.Type == raw.FileDirectory }
func (i *fileInfo) Sys() any           { return &i.raw }
func (i *fileInfo) Mode() fs.FileMode {
	mode := fileTypes[i.raw.Type] | fs.FileMode(i.raw.Permissions&0777)
	for bit, special := range map[uint32]fs.FileMode{04000: fs.ModeSetuid, 02000: fs.ModeSetgid,
		01000: fs.ModeSticky} {
		if i.raw.Permissions&bit != 0 {
			mode |= special
		}
	}
	return mode
}

// Name is the path that the file was opened by.
func (f *File) Name() string { return f.name }

// Handle names the file in requests.
func (f *File) Handle() Handle { return Handle(f.handle) }

func (f *file) failed(what string, status Status) error {
	return &Error{Op: what, Name: f.name, Status: status}
}

// simple does a request of the open file alone.
func (f *file) simple(what string, r Request) (raw.Completion, error) {
	f.state.Lock()
	closed := f.closed
	f.state.Unlock()
	if closed {
		return raw.Completion{}, f.failed(what, ErrStale)
	}
	done := f.e.do(nil, &request{raw: r.raw})
	return done, failure(nil, what, f.name, &done)
}

// piece reads or writes a block of C memory.
func (f *file) piece(what string, opcode uint16, b *block, offset uint64) (int, error) {
	r := plain(opcode, Handle(f.handle))
	r.raw.File().Buffer, r.raw.File().Size, r.raw.File().Offset = b.at(), uint64(b.size), offset
	done, err := f.simple(what, r)
	return int(done.Result), err
}

func (f *file) readAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		size := len(p) - n
		if size > blockBytesMax {
			size = blockBytesMax
		}
		b := f.e.blocks.take(size)
		got, err := f.piece("read", raw.OpFileRead, &b, uint64(offset)+uint64(n))
		n += copy(p[n:], b.bytes()[:got])
		f.e.blocks.give(b)
		if err != nil {
			return n, err
		}
		if got == 0 {
			return n, io.EOF
		}
		if got < size {
			return n, nil
		}
	}
	return n, nil
}

// ReadAt reads len(p) bytes at an offset; at the file's end as many as there are, with io.EOF.
func (f *File) ReadAt(p []byte, offset int64) (int, error) {
	defer runtime.KeepAlive(f)
	if offset < 0 {
		return 0, f.failed("read", ErrInvalid)
	}
	n, err := f.readAt(p, offset)
	for err == nil && n < len(p) {
		var more int
		more, err = f.readAt(p[n:], offset+int64(n))
		n += more
	}
	return n, err
}

// Read reads at the file's position, which moves.
func (f *File) Read(p []byte) (int, error) {
	defer runtime.KeepAlive(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.readAt(p, f.offset)
	f.offset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *file) writeAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		size := len(p) - n
		if size > blockBytesMax {
			size = blockBytesMax
		}
		b := f.e.blocks.take(size)
		copy(b.bytes(), p[n:])
		taken, err := f.piece("write", raw.OpFileWrite, &b, uint64(offset)+uint64(n))
		f.e.blocks.give(b)
		n += taken
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// WriteAt writes at an offset.
func (f *File) WriteAt(p []byte, offset int64) (int, error) {
	defer runtime.KeepAlive(f)
	if offset < 0 || f.append {
		return 0, f.failed("write", ErrInvalid)
	}
	return f.writeAt(p, offset)
}

// Write writes at the file's position, which moves, or at the file's end if it was opened to append.
func (f *File) Write(p []byte) (int, error) {
	defer runtime.KeepAlive(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.writeAt(p, f.offset)
	f.offset += int64(n)
	return n, err
}

// Seek moves the position.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		offset += info.Size()
	default:
		return 0, f.failed("seek", ErrInvalid)
	}
	if offset < 0 {
		return 0, f.failed("seek", ErrInvalid)
	}
	f.offset = offset
	return offset, nil
}

// Stat tells what the system knows of the file.
func (f *File) Stat() (fs.FileInfo, error) {
	defer runtime.KeepAlive(f)
	done, err := f.simple("stat", plain(raw.OpFileStat, f.Handle()))
	if err != nil {
		return nil, err
	}
	return f.e.fileInfo(f.name, &done)
}

// Truncate sets the file's size.
func (f *File) Truncate(size int64) error {
	defer runtime.KeepAlive(f)
	if size < 0 {
		return f.failed("truncate", ErrInvalid)
	}
	r := plain(raw.OpFileTruncate, f.Handle())
	r.raw.Truncate().Size = uint64(size)
	_, err := f.simple("truncate", r)
	return err
}

// Sync makes what was written durable.
func (f *File) Sync() error {
	defer runtime.KeepAlive(f)
	_, err := f.simple("sync", plain(raw.OpFileSync, f.Handle()))
	return err
}

// Close closes the file, and says what the system could not write in the end. Closing again is fine.
func (f *File) Close() error {
	runtime.SetFinalizer(f, nil)
	f.state.Lock()
	closed := f.closed
	f.closed = true
	f.state.Unlock()
	if closed {
		return nil
	}
	return f.e.closeHandle(&f.closer, f.handle)
}
