#include "proxy/observe/second_cache.h"

#include <cstring>

namespace ringside {
namespace {

constexpr const char* weekday_names = "SunMonTueWedThuFriSat";
constexpr const char* month_names = "JanFebMarAprMayJunJulAugSepOctNovDec";

char* put_two(char* out, uint32_t value) {
  out[0] = static_cast<char>('0' + value / 10 % 10);
  out[1] = static_cast<char>('0' + value % 10);
  return out + 2;
}

char* put_year(char* out, int32_t year) {
  const uint32_t shown = year < 0 ? 0 : year > 9999 ? 9999 : static_cast<uint32_t>(year);
  return put_two(put_two(out, shown / 100), shown % 100);
}

char* put_time(char* out, const CivilTime& civil) {
  out = put_two(out, civil.hour);
  *out++ = ':';
  out = put_two(out, civil.minute);
  *out++ = ':';
  return put_two(out, civil.second);
}

}  // namespace

CivilTime CivilTime::from(int64_t unix_second) {
  using namespace std::chrono;
  const sys_seconds point{std::chrono::seconds(unix_second)};
  const sys_days midnight = floor<days>(point);
  const year_month_day date{midnight};
  const auto in_day = static_cast<uint32_t>((point - midnight).count());
  CivilTime civil;
  civil.year = static_cast<int>(date.year());
  civil.month = static_cast<unsigned>(date.month());
  civil.day = static_cast<unsigned>(date.day());
  civil.hour = in_day / 3600;
  civil.minute = in_day / 60 % 60;
  civil.second = in_day % 60;
  civil.weekday = std::chrono::weekday(midnight).c_encoding();
  civil.year_day = static_cast<uint32_t>((midnight - sys_days(date.year() / January / 1)).count());
  return civil;
}

void SecondCache::fill(int64_t second) {
  second_ = second;
  civil_ = CivilTime::from(second);
  char* at = put_year(iso_, civil_.year);
  *at++ = '-';
  at = put_two(at, civil_.month);
  *at++ = '-';
  at = put_two(at, civil_.day);
  *at++ = 'T';
  put_time(at, civil_);

  at = http_date_;
  std::memcpy(at, weekday_names + size_t{3} * civil_.weekday, 3);
  std::memcpy(at + 3, ", ", 2);
  at = put_two(at + 5, civil_.day);
  *at++ = ' ';
  std::memcpy(at, month_names + size_t{3} * (civil_.month - 1), 3);
  at[3] = ' ';
  at = put_year(at + 4, civil_.year);
  *at++ = ' ';
  at = put_time(at, civil_);
  std::memcpy(at, " GMT", 4);
}

}  // namespace ringside
