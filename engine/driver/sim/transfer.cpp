// Copies between streams and files: a packet's worth at a time, through a buffer.
#include "base/id.hpp"
#include "base/saturating.hpp"
#include "driver/sim/file.hpp"

#include <ferry/status.h>

#include <algorithm>

namespace ferry::driver::sim {

static constexpr size_t kPiece = 1024;
// What a call on a disk moves at most; it takes the disk's time once.
static constexpr size_t kCallMax = 65536;
// After so many pieces others have their turn.
static constexpr uint32_t kRounds = 8;

// A call on a disk, of which some is done.
struct DiskCall {
    Verdict verdict;
    size_t left = 0;
};

struct TransferJob final : Job {
    SimSocket *from_stream = nullptr; // Null: it is a file.
    SimSocket *to_stream = nullptr;
    SimFile *from_file = nullptr;
    SimFile *to_file = nullptr;
    DiskCall reading;      // From the file,
    DiskCall writing;      // and to the other.
    uint64_t ready_ns = 0; // A disk has it until then.
    bool stop = false;
    const char *data = nullptr; // What comes next: of the head, or in the buffer.
    size_t data_size = 0;
    bool buffered = false;
    uint64_t left = 0; // To be taken from the source.
    uint64_t moved = 0;
    char buffer[kPiece];

    Transfer &transfer() const noexcept { return *static_cast<Transfer *>(primitive); }
};

static bool is_file(const Resource &resource) {
    return Id{resource.handle}.kind() == Kind::file;
}

void SimDriver::start_transfer(Transfer &transfer) noexcept {
    auto *job = make_job<TransferJob>(transfer);
    if (job == nullptr)
        return;
    job->means<&SimDriver::go_on>(*job);
    if (is_file(*transfer.from))
        job->from_file = static_cast<SimFile *>(static_cast<File *>(transfer.from));
    else
        job->from_stream = &own(*static_cast<Socket *>(transfer.from));
    if (is_file(*transfer.to))
        job->to_file = static_cast<SimFile *>(static_cast<File *>(transfer.to));
    else
        job->to_stream = &own(*static_cast<Socket *>(transfer.to));
    if (job->from_stream != nullptr)
        job->from_stream->transfer_in = job;
    if (job->to_stream != nullptr)
        job->to_stream->transfer_out = job;
    job->data = static_cast<const char *>(transfer.head);
    job->data_size = transfer.head_size;
    job->left = transfer.size - transfer.head_size;
    transfer.job = job;
    post(*job, 0);
}

void SimDriver::cancel_transfer(Transfer &transfer) noexcept {
    auto &job = *static_cast<TransferJob *>(transfer.job);
    job.stop = true;
    drop(job); // A disk may have it.
    if (at_once())
        go_on(job);
    else
        post(job, 0);
}

void SimDriver::end_transfer(TransferJob &job, const Outcome &outcome) noexcept {
    Transfer &transfer = job.transfer();
    transfer.torn = job.from_stream != nullptr && job.data_size != 0 && job.buffered;
    if (job.from_stream != nullptr) {
        job.from_stream->transfer_in = nullptr;
        job.from_stream->judged = job.from_stream->deaf = false;
    }
    if (job.to_stream != nullptr)
        job.to_stream->transfer_out = nullptr;
    Outcome told = outcome;
    told.result = static_cast<int64_t>(job.moved);
    free_job(job);
    transfer.job = nullptr;
    transfer.complete(told);
}

// A host of a stream's has crashed: no disk is waited for.
static bool cut_off(const TransferJob &job) {
    return (job.from_stream != nullptr && job.from_stream->dead()) ||
           (job.to_stream != nullptr && job.to_stream->dead());
}

void SimDriver::go_on(TransferJob &job) noexcept {
    for (uint32_t i = 0; i < kRounds; ++i) {
        if (job.stop) {
            end_transfer(job, {.status = FERRY_E_CANCELED});
            return;
        }
        if (job.data_size == 0 && job.left == 0) {
            end_transfer(job, {});
            return;
        }
        if ((job.ready_ns > now_ns() && !cut_off(job)) ||
            !(job.data_size != 0 ? write_out(job) : read_in(job)))
            return;
    }
    if (!job.pending)
        post(job, 0);
}

// What meets the next call on a disk, and how long it takes. False: it is under way.
bool SimDriver::begin_disk_call(TransferJob &job, DiskCall &disk_call, SimFile &file, uint32_t call,
                                uint64_t wanted) noexcept {
    if (disk_call.left != 0)
        return true;
    auto size = static_cast<size_t>(std::min<uint64_t>(wanted, kCallMax));
    disk_call.verdict = meet(call, *file.machine, file.path());
    disk_call.left = shortened(disk_call.verdict, size, random_);
    uint64_t delay =
        add_saturating(disk_delay(*file.machine, disk_call.left), disk_call.verdict.delay_ns);
    if (delay == 0)
        return true;
    job.ready_ns = add_saturating(now_ns(), delay);
    drop(job);
    post(job, delay);
    return false;
}

// False: it has ended, or waits.
bool SimDriver::write_out(TransferJob &job) noexcept {
    Outcome outcome;
    if (job.to_stream != nullptr) {
        ConstSpan span{job.data, job.data_size};
        outcome = take(*job.to_stream, &span, 1);
        if (outcome.status == FERRY_OK && outcome.result == 0) {
            ask_for_room(*job.to_stream);
            return false; // Room will be told of.
        }
    } else {
        DiskCall &call = job.writing;
        if (!begin_disk_call(job, call, *job.to_file, FERRY_SIM_WRITE, job.data_size + job.left))
            return false;
        outcome = call.verdict.fail;
        if (outcome.status == FERRY_OK)
            outcome = write_now(*job.to_file, job.transfer().to_offset + job.moved, job.data,
                                std::min(job.data_size, call.left));
        call.left -= static_cast<size_t>(outcome.result);
    }
    if (outcome.status != FERRY_OK) {
        end_transfer(job, outcome);
        return false;
    }
    auto size = static_cast<size_t>(outcome.result);
    job.data += size;
    job.data_size -= size;
    job.moved += size;
    return true;
}

bool SimDriver::read_in(TransferJob &job) noexcept {
    auto size = static_cast<size_t>(std::min<uint64_t>(job.left, kPiece));
    Outcome outcome;
    if (job.from_stream == nullptr) {
        DiskCall &call = job.reading;
        if (!begin_disk_call(job, call, *job.from_file, FERRY_SIM_READ, job.left))
            return false;
        outcome = call.verdict.fail;
        if (outcome.status == FERRY_OK)
            outcome = read_now(*job.from_file, job.transfer().from_offset + job.moved, job.buffer,
                               std::min(size, call.left));
        call.left -= static_cast<size_t>(outcome.result);
    } else if (!receive_for(job, size, &outcome)) {
        return false;
    }
    if (outcome.status != FERRY_OK || outcome.result == 0) {
        end_transfer(job, outcome);
        return false;
    }
    job.data = job.buffer;
    job.buffered = true;
    job.data_size = static_cast<size_t>(outcome.result);
    job.left -= job.data_size;
    return true;
}

// As a receive does. False: it will be told of.
bool SimDriver::receive_for(TransferJob &job, size_t size, Outcome *outcome) noexcept {
    SimSocket &stream = *job.from_stream;
    if (stream.dead()) {
        *outcome = failure(FERRY_E_NETWORK_DOWN);
    } else if (stream.in().arrived_bytes != 0) {
        if (stream.deaf || !may_go_on(stream, FERRY_SIM_RECEIVE))
            return false;
        Verdict verdict = stream.verdict;
        stream.judged = false;
        if (verdict.reset)
            reset_both(stream);
        *outcome = verdict.fail;
        size = shortened(verdict, size, random_);
        if (outcome->status == FERRY_OK)
            outcome->result = static_cast<int64_t>(copy_out(stream, job.buffer, size));
    } else if (stream.error.status != FERRY_OK) {
        *outcome = stream.error;
        stream.error = {};
    } else if (!stream.in().ended) {
        return false;
    }
    return true;
}

} // namespace ferry::driver::sim
