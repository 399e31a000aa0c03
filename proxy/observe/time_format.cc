#include "proxy/observe/time_format.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace ringside {
namespace {

constexpr std::string_view weekday_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                              "Thursday", "Friday", "Saturday"};
constexpr std::string_view month_names[] = {"January", "February", "March",     "April",   "May",      "June",
                                            "July",    "August",   "September", "October", "November", "December"};
constexpr size_t piece_bytes_max = 24;  // of what one letter writes

// One conversion: its letter, and for fractions of a second how many digits.
struct Conversion {
  char letter = '\0';
  int digits = -1;    // of %3f, %E3S; -1: none given
  bool wide = false;  // %E*S: as many digits as it takes; %Ez: with a colon
  size_t bytes = 0;   // in the format, with its percent sign; 0: not a conversion that we know
};

constexpr std::string_view letters = "YymdeHIMSjbhBaApZzTDFRsntf%";

Conversion parse_conversion(std::string_view text) {
  Conversion found;
  size_t at = 1;
  const bool extended = at < text.size() && text[at] == 'E';
  if (extended) ++at;
  if (at < text.size() && text[at] >= '0' && text[at] <= '9') found.digits = text[at++] - '0';
  if (extended && at < text.size() && text[at] == '*') found.wide = true, ++at;
  if (at >= text.size() || letters.find(text[at]) == std::string_view::npos) return {};
  found.letter = text[at];
  const bool with_digits = found.digits >= 0 || found.wide;
  if (extended && !(found.letter == 'S' && with_digits) && !(found.letter == 'z' && !with_digits)) return {};
  if (!extended && with_digits && found.letter != 'f') return {};
  if (found.letter == 'f' && found.digits == 0) return {};
  if (extended && found.letter == 'z') found.wide = true;
  found.bytes = at + 1;
  return found;
}

class TimeWriter {
 public:
  TimeWriter(char* out, WallTime time, const CivilTime& civil)
      : begin_(out), at_(out), since_(time.time_since_epoch()), civil_(civil) {}
  void put(char c) { *at_++ = c; }
  void put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void convert(const Conversion& conversion);
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  void padded(uint64_t value, int width, char fill = '0') {
    char digits[20];
    int count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    for (int missing = width - count; missing > 0; --missing) put(fill);
    while (count > 0) put(digits[--count]);
  }
  void two(uint64_t value) { padded(value, 2); }
  void fraction(int digits) {
    const auto second = std::chrono::floor<seconds>(since_);
    auto value = static_cast<uint64_t>((since_ - second).count());
    for (int cut = 9; cut > digits; --cut) value /= 10;
    padded(value, digits);
  }
  void seconds_with_fraction(const Conversion& conversion) {
    two(civil_.second);
    if (conversion.digits > 0) put('.'), fraction(conversion.digits);
    if (!conversion.wide) return;
    put('.');
    fraction(9);
    while (at_[-1] == '0') --at_;
    if (at_[-1] == '.') --at_;
  }
  void several(std::string_view format) {
    for (size_t at = 0; at < format.size(); ++at) {
      if (format[at] >= 'A' && format[at] <= 'z')
        convert({.letter = format[at]});
      else
        put(format[at]);
    }
  }
  uint64_t year() const { return civil_.year < 0 ? 0 : static_cast<uint64_t>(civil_.year); }

  char* begin_;
  char* at_;
  Duration since_;
  const CivilTime& civil_;
};

void TimeWriter::convert(const Conversion& conversion) {
  switch (conversion.letter) {
    case 'Y': return padded(year(), 4);
    case 'y': return two(year() % 100);
    case 'm': return two(civil_.month);
    case 'd': return two(civil_.day);
    case 'e': return padded(civil_.day, 2, ' ');
    case 'H': return two(civil_.hour);
    case 'I': return two((civil_.hour + 11) % 12 + 1);
    case 'M': return two(civil_.minute);
    case 'S': return seconds_with_fraction(conversion);
    case 'j': return padded(civil_.year_day + 1, 3);
    case 'b':
    case 'h': return put(month_names[civil_.month - 1].substr(0, 3));
    case 'B': return put(month_names[civil_.month - 1]);
    case 'a': return put(weekday_names[civil_.weekday].substr(0, 3));
    case 'A': return put(weekday_names[civil_.weekday]);
    case 'p': return put(civil_.hour < 12 ? "AM" : "PM");
    case 'Z': return put("UTC");
    case 'z': return put(conversion.wide ? "+00:00" : "+0000");
    case 'T': return several("H:M:S");
    case 'R': return several("H:M");
    case 'D': return several("m/d/y");
    case 'F': return several("Y-m-d");
    case 's':
      return padded(static_cast<uint64_t>(std::max<int64_t>(std::chrono::floor<seconds>(since_).count(), 0)), 1);
    case 'f': return fraction(conversion.digits > 0 ? conversion.digits : 9);
    case 'n': return put('\n');
    case 't': return put('\t');
    default: return put('%');
  }
}

}  // namespace

std::string time_format_problem(std::string_view format) {
  size_t bytes_max = 0;
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      ++bytes_max, ++at;
      continue;
    }
    const Conversion conversion = parse_conversion(format.substr(at));
    if (conversion.bytes == 0)
      return "unknown conversion \"" + std::string(format.substr(at, 2)) + "\" in the format of a time";
    bytes_max += piece_bytes_max;
    at += conversion.bytes;
  }
  if (bytes_max > time_text_bytes_max) return "the format of a time is too long";
  return {};
}

size_t write_time(char* out, std::string_view format, WallTime time, const CivilTime& civil) {
  TimeWriter writer(out, time, civil);
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      writer.put(format[at++]);
      continue;
    }
    const Conversion conversion = parse_conversion(format.substr(at));
    RS_CHECK(conversion.bytes > 0);
    writer.convert(conversion);
    at += conversion.bytes;
  }
  return writer.size();
}

}  // namespace ringside
