-- Match `records()` by session: matching.py in SQL, rule by rule.

-- Whose meter a record tells of: 1 the visited operator's, by itself; 2 the same, by others; 3 the
-- home's; 4 the device's, signed.
create or replace temp view evidence as
select
    visited, home, session_id, service, node, kind, usage_id, corrects, sequence,
    (case when side = 1 and reporter = visited then 1 else side + 1 end)::tinyint as meter,
    octets_in, octets_out, duration_s, units
from records()
where side = 1 or (side = 2 and reporter = home) or (side = 3 and (evidence & 8) <> 0);

-- Most sessions have one record a side: its amounts are the side's.
create or replace temp table sides as
select
    visited, home, session_id, service,
    min(node) filter (meter <= 2) as node,
    count(*) filter (meter <= 2) as claims,
    count(*) filter (meter > 2) as others,
    bool_or(kind <> 1) as is_changed,
    max(case when meter > 2 then meter - 1 else 0 end)::tinyint as counterpart,
    coalesce(max(octets_in) filter (meter <= 2), 0)::hugeint as claimed_octets_in,
    coalesce(max(octets_out) filter (meter <= 2), 0)::hugeint as claimed_octets_out,
    coalesce(max(duration_s) filter (meter <= 2), 0)::hugeint as claimed_duration_s,
    coalesce(max(units) filter (meter <= 2), 0)::hugeint as claimed_units,
    coalesce(max(octets_in) filter (meter > 2), 0)::hugeint as other_octets_in,
    coalesce(max(octets_out) filter (meter > 2), 0)::hugeint as other_octets_out,
    coalesce(max(duration_s) filter (meter > 2), 0)::hugeint as other_duration_s,
    coalesce(max(units) filter (meter > 2), 0)::hugeint as other_units
from evidence
group by visited, home, session_id, service;

-- Of the others a side's amounts are what counts of its records: `matched_again` finds out.
create or replace temp table doubtful as
select visited, home, session_id, service from sides
where claims > 1 or others > 1 or is_changed;
