#include "storage/snapshot/snapshot_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/escaping.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "tests/log/temp_dir.h"

namespace keel::storage {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;

void WriteFiles(const std::string& dir, const Files& files) {
  fs::create_directory(dir);
  for (const auto& [name, bytes] : files) std::ofstream(dir + "/" + name, std::ios::binary) << bytes;
}

Files ReadFiles(const std::string& dir) {
  Files files;
  for (const auto& file : fs::directory_iterator(dir)) {
    std::ifstream in(file.path(), std::ios::binary);
    files[file.path().filename()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  return files;
}

std::string Stream(const std::string& dir, size_t chunk) {
  auto reader = SnapshotReader::Open(dir);
  EXPECT_TRUE(reader.ok()) << reader.status();
  std::string all;
  while (true) {
    auto next = (*reader)->Next(chunk);
    EXPECT_TRUE(next.ok()) << next.status();
    EXPECT_LE(next->size(), chunk);
    if (next->empty()) break;
    all += *next;
  }
  EXPECT_EQ(all.size(), (*reader)->total_bytes());
  return all;
}

absl::Status Receive(const std::string& dir, const std::string& stream) {
  auto writer = SnapshotWriter::Create(dir);
  EXPECT_TRUE(writer.ok()) << writer.status();
  if (absl::Status status = (*writer)->Append(stream); !status.ok()) return status;
  return (*writer)->Finish();
}

std::string FileSection(const std::string& name, const std::string& body) {
  std::string out(1, 1);
  out.push_back(static_cast<char>(name.size() & 0xff));
  out.push_back(static_cast<char>(name.size() >> 8));
  AppendLittleEndian64(body.size(), &out);
  out += name;
  AppendLittleEndian32(Crc32c(out), &out);
  out += body;
  AppendLittleEndian32(Crc32c(body), &out);
  return out;
}
// The place after `at` that is worth trying: every byte of what is said, few of the padding's.
size_t NextPlace(const std::string& stream, size_t at) {
  return at < stream.find_last_not_of('\0') + 2 ? at + 1 : at + 100;
}
std::string Header() { return std::string("KEELSNAP\2\0\0\0", 12); }

const Files kFiles = {{"000012.sst", std::string(10000, 's')},
                      {"CURRENT", "MANIFEST-1\n"},
                      {"empty", ""},
                      {"index", std::string("\0\1\2", 3)}};

TEST(SnapshotStreamTest, GoldenBytes) {
  TempDir dir;
  WriteFiles(dir / "from", {{"a", "xyz"}, {"b.c", ""}});
  EXPECT_EQ(absl::BytesToHexString(Stream(dir / "from", 1000)),
            "4b45454c534e4150"  // "KEELSNAP"
            "02000000"          // format
            "01"                // a file
            "0100"              // name size
            "0300000000000000"  // file size
            "61"                // "a"
            "e48a6207"          // checksum of this header
            "78797a"            // "xyz"
            "85682325"          // its checksum
            "01"
            "0300"
            "0000000000000000"
            "622e63"
            "c61292e3"
            "00000000"
            "02"                // the end
            "0200000000000000"  // files
            "f833fe35" +
                std::string(2 * (512 - 70), '0'));  // padding
}

TEST(SnapshotStreamTest, WhatIsReadIsWrittenWhateverTheChunks) {
  TempDir dir;
  WriteFiles(dir / "from", kFiles);
  int n = 0;
  for (const size_t chunk : {1u, 7u, 64u, 4096u, 1u << 20}) {
    SCOPED_TRACE(chunk);
    const std::string stream = Stream(dir / "from", chunk);
    const std::string to = dir / ("to" + std::to_string(n++));
    auto writer = SnapshotWriter::Create(to);
    ASSERT_TRUE(writer.ok());
    for (size_t at = 0; at < stream.size(); at += chunk) {
      ASSERT_TRUE((*writer)->Append(std::string_view(stream).substr(at, chunk)).ok());
    }
    ASSERT_TRUE((*writer)->Finish().ok());
    writer->reset();
    EXPECT_EQ(ReadFiles(to), kFiles);
  }
}

TEST(SnapshotStreamTest, AnEmptyDirectoryIsAStreamToo) {
  TempDir dir;
  WriteFiles(dir / "from", {});
  EXPECT_TRUE(Receive(dir / "to", Stream(dir / "from", 10)).ok());
  EXPECT_TRUE(ReadFiles(dir / "to").empty());
}

TEST(SnapshotStreamTest, AStreamCutAnywhereIsNotFinishedAndLeavesNothing) {
  TempDir dir;
  WriteFiles(dir / "from", {{"a", "0123456789"}, {"b", "x"}});
  const std::string stream = Stream(dir / "from", 1000);
  for (size_t size = 0; size < stream.size(); size = NextPlace(stream, size)) {
    SCOPED_TRACE(size);
    EXPECT_EQ(Receive(dir / "to", stream.substr(0, size)).code(), absl::StatusCode::kDataLoss);
    EXPECT_FALSE(fs::exists(dir / "to"));
  }
  EXPECT_EQ(Receive(dir / "to", stream + "x").code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(fs::exists(dir / "to"));
  EXPECT_TRUE(Receive(dir / "to", stream).ok());
}

TEST(SnapshotStreamTest, NoFlippedBitPasses) {
  TempDir dir;
  WriteFiles(dir / "from", {{"a", "0123456789"}, {"b", "x"}});
  const std::string stream = Stream(dir / "from", 1000);
  for (size_t byte = 0; byte < stream.size(); byte = NextPlace(stream, byte)) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = stream;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << bit));
      EXPECT_EQ(Receive(dir / "to", damaged).code(), absl::StatusCode::kDataLoss) << "bit " << bit << " of " << byte;
      EXPECT_FALSE(fs::exists(dir / "to"));
    }
  }
}

TEST(SnapshotStreamTest, ALeftOutOrRepeatedFileIsNoticed) {
  TempDir dir;
  WriteFiles(dir / "from", {{"a", "1"}, {"b", "2"}});
  WriteFiles(dir / "less", {{"a", "1"}});
  const std::string stream = Stream(dir / "from", 1000);
  const std::string files = Header() + FileSection("a", "1") + FileSection("b", "2");
  ASSERT_EQ(stream.substr(0, files.size()), files);
  const std::string end = stream.substr(files.size(), 13);
  EXPECT_EQ(stream, files + end + std::string(512 - files.size() - end.size(), '\0'));
  for (const std::string& bad :
       {Header() + FileSection("a", "1") + end, Header() + FileSection("b", "2") + FileSection("a", "1") + end,
        Header() + FileSection("a", "1") + FileSection("a", "1") + end, Header() + end}) {
    EXPECT_EQ(Receive(dir / "to", bad).code(), absl::StatusCode::kDataLoss);
  }
}

TEST(SnapshotStreamTest, AHostileNameCannotLeaveTheDirectory) {
  TempDir dir;
  for (const std::string& name :
       {std::string("../escape"), std::string("/tmp/escape"), std::string("."), std::string(".."),
        std::string(".hidden"), std::string("a/b"), std::string("a\\b"), std::string("nul\0", 4),
        std::string("new\nline"), std::string("a b"), std::string(256, 'a'), std::string()}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(Receive(dir / "to", Header() + FileSection(name, "gotcha")).code(), absl::StatusCode::kDataLoss);
    EXPECT_FALSE(fs::exists(dir / "to"));
    EXPECT_FALSE(fs::exists(dir / "escape"));
  }
}

TEST(SnapshotStreamTest, RandomBytesAreRefused) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  TempDir dir;
  for (int i = 0; i < 300; ++i) {
    std::string bytes = random.Chance(0.5) ? Header() : "";
    for (uint64_t n = random.Below(300); n > 0; --n) bytes.push_back(static_cast<char>(random.Below(4)));
    EXPECT_EQ(Receive(dir / "to", bytes).code(), absl::StatusCode::kDataLoss);
  }
}

TEST(SnapshotStreamTest, TheDirectoryMustBeNewAndFilesPlain) {
  TempDir dir;
  fs::create_directory(dir / "to");
  EXPECT_EQ(SnapshotWriter::Create(dir / "to").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(fs::exists(dir / "to"));
  EXPECT_EQ(SnapshotWriter::Create(dir / "none/to").status().code(), absl::StatusCode::kNotFound);
  fs::create_directory(dir / "to/sub");
  EXPECT_EQ(SnapshotReader::Open(dir / "to").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SnapshotReader::Open(dir / "none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace keel::storage
