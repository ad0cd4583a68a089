-- Match `records()` by session: matching.py and bias.py in SQL, rule by rule. Sums have 128 bits.
create or replace temp view evidence as
select
    visited, home, session_id, service, side, node, kind, usage_id, corrects, sequence,
    side <> 1 or reporter = visited as own,
    octets_in, octets_out, duration_s, units
from records()
where side = 1 or (side = 2 and reporter = home) or (side = 3 and (evidence & 8) <> 0);

-- What corrections and voids name, and which of several is the last word.
create or replace temp table naming as
select
    visited, home, session_id, service, side, own, corrects,
    max({'sequence': sequence, 'usage_id': usage_id}) as last
from evidence where corrects is not null
group by all;

create or replace temp view judged as
select
    e.*,
    e.kind <> 3 and replaced.last is null and (
        e.corrects is null or {'sequence': e.sequence, 'usage_id': e.usage_id} = rival.last
    ) as stands
from evidence e
left join naming replaced on
    replaced.visited = e.visited and replaced.home is not distinct from e.home
    and replaced.session_id = e.session_id and replaced.service = e.service
    and replaced.side = e.side and replaced.own = e.own and replaced.corrects = e.usage_id
left join naming rival on
    rival.visited = e.visited and rival.home is not distinct from e.home
    and rival.session_id = e.session_id and rival.service = e.service
    and rival.side = e.side and rival.own = e.own and rival.corrects = e.corrects;

-- Each usage of a side once: of unequal copies the lower amounts.
create or replace temp view usages as
select
    visited, home, session_id, service, side, own, usage_id,
    min(node) as node,
    min(octets_in) filter (stands) as octets_in,
    min(octets_out) filter (stands) as octets_out,
    min(duration_s) filter (stands) as duration_s,
    min(units) filter (stands) as units
from judged
group by visited, home, session_id, service, side, own, usage_id;

-- A side's amounts in one value; null where the side said nothing.
create or replace temp view reports as
select
    visited, home, session_id, service, side, own, min(node) as node,
    {
        'octets_in': coalesce(sum(octets_in), 0)::hugeint,
        'octets_out': coalesce(sum(octets_out), 0)::hugeint,
        'duration_s': coalesce(sum(duration_s), 0)::hugeint,
        'units': coalesce(sum(units), 0)::hugeint
    } as amounts
from usages
group by visited, home, session_id, service, side, own;

create or replace temp view sides as
select
    visited, home, session_id, service,
    min(node) filter (side = 1) as node,
    coalesce(
        any_value(amounts) filter (side = 1 and own),
        any_value(amounts) filter (side = 1 and not own)
    ) as claim,
    any_value(amounts) filter (side = 2) as home_meter,
    any_value(amounts) filter (side = 3) as device
from reports
group by visited, home, session_id, service;

create or replace temp macro nothing() as
{'octets_in': 0::hugeint, 'octets_out': 0::hugeint, 'duration_s': 0::hugeint, 'units': 0::hugeint};

create or replace temp macro volume(a) as a.octets_in + a.octets_out;

create or replace temp macro near(a, b, volume_ppm, duration_ppm, seconds) as
    (abs(a.octets_in - b.octets_in) + abs(a.octets_out - b.octets_out)) * 1000000
        <= greatest(volume(a), volume(b)) * volume_ppm
    and (abs(a.duration_s - b.duration_s) - seconds) * 1000000
        <= greatest(a.duration_s, b.duration_s) * duration_ppm
    and a.units = b.units;

create or replace temp macro difference(a, b) as
    case when greatest(a, b) = 0 then 0::hugeint
    else (case when a >= b then 1 else -1 end) * (abs(a - b) * 1000000 // greatest(a, b)) end;

create or replace temp view compared as
select
    s.visited, s.home, s.session_id, s.service, node,
    case when device is not null then 3 when home_meter is not null then 2 else 0 end::tinyint
        as counterpart,
    claim is not null and coalesce(device, home_meter) is not null as two_sided,
    coalesce(claim, nothing()) as claimed,
    coalesce(device, home_meter, nothing()) as other,
    coalesce(t.volume_ppm, getvariable('volume_ppm'))::hugeint as volume_ppm,
    coalesce(t.duration_ppm, getvariable('duration_ppm'))::hugeint as duration_ppm,
    coalesce(t.duration_s, getvariable('duration_s'))::hugeint as seconds
from sides s
left join tolerances t on t.visited = s.visited and t.home is not distinct from s.home;

create or replace temp view outcomes as
select
    *,
    case
        when not two_sided then 4
        when claimed = other then 1
        when near(claimed, other, volume_ppm, duration_ppm, seconds) then 2
        else 3
    end::tinyint as outcome,
    case when two_sided then
        {
            'octets_in': least(claimed.octets_in, other.octets_in),
            'octets_out': least(claimed.octets_out, other.octets_out),
            'duration_s': least(claimed.duration_s, other.duration_s),
            'units': least(claimed.units, other.units)
        }
    else claimed end as paid
from compared;

create or replace temp view matches as
select
    visited, home, session_id, service, node, outcome,
    case when outcome = 4 then 1 else 2 end::tinyint as rung,
    counterpart, claimed, other, paid,
    case when outcome = 3 then
        {
            'octets_in': claimed.octets_in - paid.octets_in,
            'octets_out': claimed.octets_out - paid.octets_out,
            'duration_s': claimed.duration_s - paid.duration_s,
            'units': claimed.units - paid.units
        }
    else nothing() end as disputed
from outcomes;

-- As it is written: Parquet has no 128-bit integers but these.
create or replace temp view written as
select
    visited, home, session_id, service, node, outcome, rung, counterpart,
    claimed.octets_in::decimal(38, 0) as claimed_octets_in, claimed.octets_out::decimal(38, 0) as claimed_octets_out,
    claimed.duration_s::decimal(38, 0) as claimed_duration_s, claimed.units::decimal(38, 0) as claimed_units,
    other.octets_in::decimal(38, 0) as other_octets_in, other.octets_out::decimal(38, 0) as other_octets_out,
    other.duration_s::decimal(38, 0) as other_duration_s, other.units::decimal(38, 0) as other_units,
    paid.octets_in::decimal(38, 0) as paid_octets_in, paid.octets_out::decimal(38, 0) as paid_octets_out,
    paid.duration_s::decimal(38, 0) as paid_duration_s, paid.units::decimal(38, 0) as paid_units,
    disputed.octets_in::decimal(38, 0) as disputed_octets_in, disputed.octets_out::decimal(38, 0) as disputed_octets_out,
    disputed.duration_s::decimal(38, 0) as disputed_duration_s, disputed.units::decimal(38, 0) as disputed_units
from matches;
