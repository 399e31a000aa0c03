#pragma once
// What is known against a host. Names and meanings are Envoy's, so that /clusters reads the same.
#include <array>
#include <cstdint>
#include <string_view>

namespace ringside {

enum class HealthFlag : uint8_t {
  failed_active_hc,         // of its last checks too many failed
  failed_eds_health,        // the configuration says UNHEALTHY or TIMEOUT
  degraded_active_hc,       // its answers to checks say so themselves
  degraded_eds_health,      // the configuration says DEGRADED
  pending_dynamic_removal,  // its name has another address now, but it still passes its checks
  pending_active_hc,        // was never checked, and does not count until it is
  active_hc_timeout,        // failed_active_hc, and the last check got no answer in time
  eds_status_draining,      // the configuration says DRAINING
  count_
};

inline constexpr std::array<std::string_view, static_cast<size_t>(HealthFlag::count_)> health_flag_names = {
    "failed_active_hc",        "failed_eds_health", "degraded_active_hc", "degraded_eds_health",
    "pending_dynamic_removal", "pending_active_hc", "active_hc_timeout",  "eds_status_draining"};

enum class Health : uint8_t { healthy, degraded, unhealthy };

class HealthFlags {
 public:
  constexpr HealthFlags() = default;
  explicit constexpr HealthFlags(uint16_t bits) : bits_(bits) {}
  constexpr uint16_t bits() const { return bits_; }
  constexpr bool none() const { return bits_ == 0; }
  constexpr bool has(HealthFlag flag) const { return (bits_ & bit(flag)) != 0; }
  constexpr void set(HealthFlag flag) { bits_ = static_cast<uint16_t>(bits_ | bit(flag)); }
  constexpr void clear(HealthFlag flag) { bits_ = static_cast<uint16_t>(bits_ & ~bit(flag)); }
  constexpr void put(HealthFlag flag, bool on) { on ? set(flag) : clear(flag); }
  constexpr Health health() const {
    if (has(HealthFlag::failed_active_hc) || has(HealthFlag::failed_eds_health) || has(HealthFlag::eds_status_draining))
      return Health::unhealthy;
    return has(HealthFlag::degraded_active_hc) || has(HealthFlag::degraded_eds_health) ? Health::degraded : Health::healthy;
  }
  // Does not count when it is judged how many hosts of a cluster are well.
  constexpr bool excluded() const { return has(HealthFlag::pending_active_hc) || has(HealthFlag::eds_status_draining); }
  constexpr bool operator==(const HealthFlags&) const = default;

 private:
  static constexpr uint16_t bit(HealthFlag flag) { return static_cast<uint16_t>(1U << static_cast<unsigned>(flag)); }
  uint16_t bits_ = 0;
};

}  // namespace ringside
