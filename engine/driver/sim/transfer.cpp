// Copies between streams and files: a packet's worth at a time, through a buffer.
#include "base/id.hpp"
#include "driver/sim/file.hpp"

#include <ferry/status.h>

#include <algorithm>

namespace ferry::driver::sim {

static constexpr size_t kPiece = 1024;
// After so many pieces others have their turn.
static constexpr uint32_t kRounds = 8;

struct TransferJob final : Job {
    SimSocket *from_stream = nullptr; // Null: it is a file.
    SimSocket *to_stream = nullptr;
    SimFile *from_file = nullptr;
    SimFile *to_file = nullptr;
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
    if (at_once())
        go_on(job);
    else if (!job.pending)
        post(job, 0);
}

void SimDriver::end_transfer(TransferJob &job, const Outcome &outcome) noexcept {
    Transfer &transfer = job.transfer();
    transfer.torn = job.data_size != 0 && job.buffered;
    if (job.from_stream != nullptr)
        job.from_stream->transfer_in = nullptr;
    if (job.to_stream != nullptr)
        job.to_stream->transfer_out = nullptr;
    Outcome told = outcome;
    told.result = static_cast<int64_t>(job.moved);
    free_job(job);
    transfer.job = nullptr;
    transfer.complete(told);
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
        if (!(job.data_size != 0 ? write_out(job) : read_in(job)))
            return;
    }
    if (!job.pending)
        post(job, 0);
}

// False: it has ended, or waits.
bool SimDriver::write_out(TransferJob &job) noexcept {
    Outcome outcome;
    if (job.to_stream != nullptr) {
        ConstSpan span{job.data, job.data_size};
        outcome = take(*job.to_stream, &span, 1);
        if (outcome.status == FERRY_OK && outcome.result == 0)
            return false; // Room will be told of.
    } else {
        outcome = write_piece(*job.to_file, job.transfer().to_offset + job.moved, job.data,
                              job.data_size);
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
        outcome =
            read_piece(*job.from_file, job.transfer().from_offset + job.moved, job.buffer, size);
    } else {
        SimSocket &stream = *job.from_stream;
        if (stream.dead()) {
            outcome = failure(FERRY_E_NETWORK_DOWN);
        } else if (stream.in().arrived_bytes != 0) {
            outcome = meet(FERRY_SIM_RECEIVE, *stream.machine).fail;
            if (outcome.status == FERRY_OK)
                outcome.result = static_cast<int64_t>(copy_out(stream, job.buffer, size));
        } else if (stream.error.status != FERRY_OK) {
            outcome = stream.error;
            stream.error = {};
        } else if (!stream.in().ended) {
            return false; // It will be told of.
        }
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

} // namespace ferry::driver::sim
