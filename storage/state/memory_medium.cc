#include "storage/state/memory_medium.h"

#include <atomic>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace keel::storage {
namespace {

using Table = std::map<std::string, std::string, std::less<>>;

struct Change {
  bool hist;
  std::string key;
  std::optional<std::string> value;  // nullopt: deleted.
};

// Both families. Shared with iterators, which must not see later writes: a writer copies a table that others hold.
struct Tables {
  std::shared_ptr<Table> meta = std::make_shared<Table>();
  std::shared_ptr<Table> hist = std::make_shared<Table>();

  void Apply(const std::vector<Change>& changes) {
    for (const Change& change : changes) {
      std::shared_ptr<Table>& table = change.hist ? hist : meta;
      if (table.use_count() > 1) table = std::make_shared<Table>(*table);
      if (change.value.has_value()) {
        (*table)[change.key] = *change.value;
      } else {
        table->erase(change.key);
      }
    }
  }
};

size_t BytesOf(const Table& table) {
  size_t bytes = 0;
  for (const auto& [key, value] : table) bytes += key.size() + value.size();
  return bytes;
}

}  // namespace

// One database: what has been written, and what of it a crash leaves.
class MemoryMedium::Database {
 public:
  Database() = default;
  explicit Database(const Tables& content) : written_(Copy(content)), durable_(Copy(content)) {}

  void Write(std::vector<Change> changes) {
    absl::MutexLock lock(&mu_);
    written_.Apply(changes);
    unflushed_.push_back(std::move(changes));
  }

  // The first `count` batches that are not flushed.
  void Flush(size_t count) {
    absl::MutexLock lock(&mu_);
    for (; count > 0 && !unflushed_.empty(); --count) {
      durable_.Apply(unflushed_.front());
      unflushed_.pop_front();
    }
    flushed_ = true;
  }

  void LoseUnflushed() {
    absl::MutexLock lock(&mu_);
    unflushed_.clear();
    written_ = Copy(durable_);
  }

  size_t unflushed() const {
    absl::MutexLock lock(&mu_);
    return unflushed_.size();
  }
  bool TakeFlushed() {
    absl::MutexLock lock(&mu_);
    return std::exchange(flushed_, false);
  }

  // The table as of now; to be given back with Release().
  std::shared_ptr<const Table> Hold(bool hist) const {
    absl::MutexLock lock(&mu_);
    return hist ? written_.hist : written_.meta;
  }
  // Under the lock, so that a writer that sees itself alone has seen all that readers did.
  void Release(std::shared_ptr<const Table>* table) const {
    absl::MutexLock lock(&mu_);
    table->reset();
  }

  std::optional<std::string> Get(bool hist, std::string_view key) const {
    absl::MutexLock lock(&mu_);
    return Find(hist ? *written_.hist : *written_.meta, key);
  }
  std::optional<std::string> GetDurableMeta(std::string_view key) const {
    absl::MutexLock lock(&mu_);
    return Find(*durable_.meta, key);
  }

  std::shared_ptr<Database> CopyWritten() const {
    absl::MutexLock lock(&mu_);
    return std::make_shared<Database>(written_);
  }
  std::shared_ptr<Database> CopyDurable() const {
    absl::MutexLock lock(&mu_);
    return std::make_shared<Database>(durable_);
  }

  size_t bytes() const {
    absl::MutexLock lock(&mu_);
    return BytesOf(*written_.meta) + BytesOf(*written_.hist);
  }

  // An engine is open on it.
  std::atomic<bool> open = false;
  // Of the store that has it open.
  std::shared_ptr<FlushSignal> signal;

 private:
  static Tables Copy(const Tables& tables) {
    return {.meta = std::make_shared<Table>(*tables.meta), .hist = std::make_shared<Table>(*tables.hist)};
  }
  static std::optional<std::string> Find(const Table& table, std::string_view key) {
    const auto it = table.find(key);
    if (it == table.end()) return std::nullopt;
    return it->second;
  }

  mutable absl::Mutex mu_;
  Tables written_ ABSL_GUARDED_BY(mu_);
  Tables durable_ ABSL_GUARDED_BY(mu_);
  std::deque<std::vector<Change>> unflushed_ ABSL_GUARDED_BY(mu_);
  bool flushed_ ABSL_GUARDED_BY(mu_) = false;
};

class MemoryMedium::Batch final : public EngineBatch {
 public:
  std::vector<Change> Take() { return std::move(changes_); }

 protected:
  void Put(Family family, std::string_view key, std::string_view head, std::string_view tail) override {
    std::string value(head);
    value.append(tail);
    changes_.push_back({.hist = family == Family::kHist, .key = std::string(key), .value = std::move(value)});
  }
  void Delete(Family family, std::string_view key) override {
    changes_.push_back({.hist = family == Family::kHist, .key = std::string(key), .value = std::nullopt});
  }

 private:
  std::vector<Change> changes_;
};

// Holds a table of a database.
class MemoryMedium::MomentSnapshot final : public EngineSnapshot {
 public:
  explicit MomentSnapshot(std::shared_ptr<const Database> database)
      : database_(std::move(database)), hist_(database_->Hold(/*hist=*/true)) {}
  ~MomentSnapshot() override { database_->Release(&hist_); }

  std::shared_ptr<const Table> hist() const { return hist_; }

 private:
  const std::shared_ptr<const Database> database_;
  std::shared_ptr<const Table> hist_;
};

class MemoryMedium::Iterator final : public EngineIterator {
 public:
  Iterator(std::shared_ptr<const Database> database, std::shared_ptr<const Table> table)
      : database_(std::move(database)), table_(std::move(table)), it_(table_->end()) {}
  ~Iterator() override { database_->Release(&table_); }

  void SeekToFirst() override { it_ = table_->begin(); }
  void Seek(std::string_view key) override { it_ = table_->lower_bound(key); }
  void Next() override { ++it_; }
  bool Valid() const override { return it_ != table_->end(); }
  std::string_view key() const override { return it_->first; }
  std::string_view value() const override { return it_->second; }
  absl::Status status(std::string_view /*what*/) const override { return absl::OkStatus(); }

 private:
  const std::shared_ptr<const Database> database_;
  std::shared_ptr<const Table> table_;
  Table::const_iterator it_;
};

class MemoryMedium::MemoryEngine final : public Engine {
 public:
  MemoryEngine(std::shared_ptr<MemoryMedium> medium, std::shared_ptr<Database> database)
      : medium_(std::move(medium)), database_(std::move(database)) {}
  ~MemoryEngine() override {
    database_->signal = nullptr;
    database_->open = false;
  }

  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view key) const override {
    return database_->Get(/*hist=*/false, key);
  }
  absl::StatusOr<std::optional<StatePoint>> DurablePoint() const override {
    const std::optional<std::string> stored = database_->GetDurableMeta(kPointKey);
    if (!stored.has_value()) return std::nullopt;
    KEEL_ASSIGN_OR_RETURN(StatePoint point, ParsePoint(*stored, "the durable point"));
    return point;
  }
  absl::StatusOr<Record> GetRecord(ChangeId change, Caching /*caching*/) const override {
    const std::optional<std::string> stored = database_->Get(/*hist=*/true, EncodeRecordKey(change));
    if (!stored.has_value()) return absl::NotFoundError(absl::StrCat("state: ", ReadOf(change), ": not found"));
    return ParseRecord(change, *stored);
  }
  absl::Status GetRecords(const std::vector<ChangeId>& changes, Caching caching,
                          std::vector<Record>* records) const override {
    records->clear();
    records->reserve(changes.size());
    for (ChangeId change : changes) {
      KEEL_ASSIGN_OR_RETURN(Record record, GetRecord(change, caching));
      records->push_back(std::move(record));
    }
    return absl::OkStatus();
  }

  std::unique_ptr<EngineSnapshot> Snapshot() const override { return std::make_unique<MomentSnapshot>(database_); }
  std::unique_ptr<EngineIterator> MetaIterator() const override {
    return std::make_unique<Iterator>(database_, database_->Hold(/*hist=*/false));
  }
  std::unique_ptr<EngineIterator> HistIterator(ScanLength /*length*/) const override {
    return std::make_unique<Iterator>(database_, database_->Hold(/*hist=*/true));
  }
  std::unique_ptr<EngineIterator> HistIteratorAt(const EngineSnapshot& snapshot) const override {
    return std::make_unique<Iterator>(database_, static_cast<const MomentSnapshot&>(snapshot).hist());
  }

  std::unique_ptr<EngineBatch> NewBatch() const override { return std::make_unique<Batch>(); }
  absl::Status Write(EngineBatch* batch) override {
    database_->Write(static_cast<Batch*>(batch)->Take());
    return absl::OkStatus();
  }

  absl::Status Flush() override {
    database_->Flush(database_->unflushed());
    medium_->Stepped("flush");
    if (database_->signal != nullptr) database_->signal->Notify();
    return absl::OkStatus();
  }
  absl::Status Checkpoint(const std::string& dir) override {
    KEEL_RETURN_IF_ERROR(Flush());
    std::shared_ptr<Database> copy = database_->CopyWritten();
    {
      absl::MutexLock lock(&medium_->mu_);
      if (!medium_->databases_.emplace(dir, std::move(copy)).second) {
        return absl::FailedPreconditionError(absl::StrCat("state: ", dir, " exists already"));
      }
    }
    medium_->Stepped("checkpoint");
    return absl::OkStatus();
  }
  void Abandon() override {}

  int64_t AllocatedBytes() const override { return static_cast<int64_t>(database_->bytes()); }
  bool TakeFlushed() override { return database_->TakeFlushed(); }

 private:
  const std::shared_ptr<MemoryMedium> medium_;
  const std::shared_ptr<Database> database_;
};

class MemoryMedium::Home final : public GenerationDir {
 public:
  Home(std::shared_ptr<MemoryMedium> medium, std::string dir) : medium_(std::move(medium)), dir_(std::move(dir)) {}
  ~Home() override {
    absl::MutexLock lock(&medium_->mu_);
    medium_->held_[dir_] = false;
  }

  std::string current() const override { return absl::StrCat(dir_, "/gen-", number()); }
  std::string next() const override { return absl::StrCat(dir_, "/gen-", number() + 1); }

  absl::Status Switch() override {
    {
      absl::MutexLock lock(&medium_->mu_);
      ++medium_->current_[dir_];
    }
    medium_->Stepped("switch");
    return absl::OkStatus();
  }
  absl::Status RemoveLeftovers() override {
    const std::string keep = current();
    const std::string inside = absl::StrCat(dir_, "/");
    absl::MutexLock lock(&medium_->mu_);
    std::erase_if(medium_->databases_,
                  [&](const auto& entry) { return entry.first.starts_with(inside) && entry.first != keep; });
    return absl::OkStatus();
  }

 private:
  uint64_t number() const {
    absl::MutexLock lock(&medium_->mu_);
    return medium_->current_.at(dir_);
  }

  const std::shared_ptr<MemoryMedium> medium_;
  const std::string dir_;
};

MemoryMedium::MemoryMedium() = default;
MemoryMedium::~MemoryMedium() = default;

std::shared_ptr<MemoryMedium::Database> MemoryMedium::Find(const std::string& path) const {
  absl::MutexLock lock(&mu_);
  const auto it = databases_.find(path);
  return it == databases_.end() ? nullptr : it->second;
}

void MemoryMedium::Stepped(std::string_view step) {
  std::function<void(std::string_view)> listener;
  {
    absl::MutexLock lock(&mu_);
    listener = listener_;
  }
  if (listener) listener(step);
}

void MemoryMedium::Crash(const std::function<size_t(size_t unflushed)>& keep) {
  absl::MutexLock lock(&mu_);
  for (const auto& [path, database] : databases_) {
    KEEL_CHECK(!database->open) << "a crash under an open store";
    database->Flush(keep(database->unflushed()));
    database->LoseUnflushed();
  }
}

std::shared_ptr<MemoryMedium> MemoryMedium::DurableImage() const {
  auto image = std::make_shared<MemoryMedium>();
  absl::MutexLock lock(&mu_);
  absl::MutexLock image_lock(&image->mu_);
  for (const auto& [path, database] : databases_) image->databases_.emplace(path, database->CopyDurable());
  image->current_ = current_;
  return image;
}

void MemoryMedium::FlushInBackground(const std::function<size_t(size_t unflushed)>& keep) {
  std::vector<std::shared_ptr<FlushSignal>> signals;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [path, database] : databases_) {
      if (database->signal == nullptr) continue;
      database->Flush(keep(database->unflushed()));
      signals.push_back(database->signal);
    }
  }
  Stepped("flush");
  for (const std::shared_ptr<FlushSignal>& signal : signals) signal->Notify();
}

absl::Status MemoryMedium::CopyTo(const std::string& from, const std::string& to, MemoryMedium* other) const {
  const std::shared_ptr<Database> database = Find(from);
  if (database == nullptr) return absl::NotFoundError(absl::StrCat("state: ", from, " does not exist"));
  std::shared_ptr<Database> copy = database->CopyWritten();
  {
    absl::MutexLock lock(&other->mu_);
    other->databases_[to] = std::move(copy);
  }
  other->Stepped("receive");
  return absl::OkStatus();
}

void MemoryMedium::SetStepListener(std::function<void(std::string_view step)> listener) {
  absl::MutexLock lock(&mu_);
  listener_ = std::move(listener);
}

absl::StatusOr<std::unique_ptr<GenerationDir>> MemoryMedium::OpenDir(const std::string& dir) {
  absl::MutexLock lock(&mu_);
  if (std::exchange(held_[dir], true)) {
    return absl::FailedPreconditionError(absl::StrCat("state: ", dir, " is in use"));
  }
  current_.try_emplace(dir, 1);
  return std::make_unique<Home>(shared_from_this(), dir);
}

absl::StatusOr<std::unique_ptr<Engine>> MemoryMedium::OpenEngine(const std::string& dir,
                                                                 const StateOptions& /*options*/,
                                                                 std::shared_ptr<FlushSignal> signal) {
  std::shared_ptr<Database> database;
  {
    absl::MutexLock lock(&mu_);
    std::shared_ptr<Database>& slot = databases_[dir];
    if (slot == nullptr) slot = std::make_shared<Database>();
    database = slot;
  }
  if (database->open.exchange(true)) return absl::FailedPreconditionError(absl::StrCat("state: ", dir, " is in use"));
  database->LoseUnflushed();
  database->signal = std::move(signal);
  return std::make_unique<MemoryEngine>(shared_from_this(), std::move(database));
}

absl::StatusOr<StatePoint> MemoryMedium::ReadPoint(const std::string& dir) {
  const std::shared_ptr<Database> database = Find(dir);
  const std::optional<std::string> stored =
      database == nullptr ? std::nullopt : database->Get(/*hist=*/false, kPointKey);
  if (!stored.has_value()) return absl::NotFoundError(absl::StrCat("state: cannot read ", dir, ": no database"));
  return ParsePoint(*stored, dir);
}

bool MemoryMedium::Exists(const std::string& path) { return Find(path) != nullptr; }

absl::Status MemoryMedium::Move(const std::string& from, const std::string& to) {
  {
    absl::MutexLock lock(&mu_);
    auto node = databases_.extract(from);
    if (node.empty()) return absl::NotFoundError(absl::StrCat("state: cannot move ", from, ": it does not exist"));
    node.key() = to;
    databases_.erase(to);
    databases_.insert(std::move(node));
  }
  Stepped("move");
  return absl::OkStatus();
}

absl::Status MemoryMedium::Sync(const std::string& dir) {
  const std::shared_ptr<Database> database = Find(dir);
  if (database == nullptr) return absl::NotFoundError(absl::StrCat("state: cannot sync ", dir, ": it does not exist"));
  return absl::OkStatus();
}

absl::Status MemoryMedium::Remove(const std::string& dir) {
  {
    absl::MutexLock lock(&mu_);
    databases_.erase(dir);
  }
  Stepped("remove");
  return absl::OkStatus();
}

}  // namespace keel::storage
