-- The doubtful sessions again, usage by usage. Sums have 128 bits.
create or replace temp view evidence as from claims union all from counterparts;

create or replace temp table argued as
select
    visited, home, session_id, service, meter, node, kind, usage_id, corrects, sequence,
    octets_in, octets_out, duration_s, units
from evidence semi join doubtful using (session_id);

-- What corrections and voids name, and which of several is the last word.
create or replace temp table naming as
select
    visited, home, session_id, service, meter, corrects,
    max({'sequence': sequence, 'usage_id': usage_id}) as last
from argued where corrects is not null
group by all;

create or replace temp view judged as
select
    e.*,
    e.kind <> 3 and replaced.last is null and (
        e.corrects is null or {'sequence': e.sequence, 'usage_id': e.usage_id} = rival.last
    ) as stands
from argued e
left join naming replaced on
    replaced.visited = e.visited and replaced.home is not distinct from e.home
    and replaced.session_id = e.session_id and replaced.service = e.service
    and replaced.meter = e.meter and replaced.corrects = e.usage_id
left join naming rival on
    rival.visited = e.visited and rival.home is not distinct from e.home
    and rival.session_id = e.session_id and rival.service = e.service
    and rival.meter = e.meter and rival.corrects = e.corrects;

-- Each usage of a meter once: of unequal copies the lower amounts.
create or replace temp view usages as
select
    visited, home, session_id, service, meter, min(node) as node,
    min(octets_in) filter (stands) as octets_in,
    min(octets_out) filter (stands) as octets_out,
    min(duration_s) filter (stands) as duration_s,
    min(units) filter (stands) as units
from judged
group by visited, home, session_id, service, meter, usage_id;

-- What each meter says; where the visited operator itself reports, copies of others do not count.
create or replace temp view reports as
select
    visited, home, session_id, service, meter, min(node) as node,
    coalesce(sum(octets_in), 0)::hugeint as octets_in,
    coalesce(sum(octets_out), 0)::hugeint as octets_out,
    coalesce(sum(duration_s), 0)::hugeint as duration_s,
    coalesce(sum(units), 0)::hugeint as units
from usages
group by visited, home, session_id, service, meter;

delete from sides where session_id in (from doubtful);
insert into sides
select
    visited, home, session_id, service,
    min(node) filter (meter <= 2) as node,
    bool_or(meter <= 2) as is_claimed,
    max(case when meter > 2 then meter - 1 else 0 end)::tinyint as counterpart,
    true as is_changed,
    coalesce(arg_min(octets_in, meter) filter (meter <= 2), 0) as claimed_octets_in,
    coalesce(arg_min(octets_out, meter) filter (meter <= 2), 0) as claimed_octets_out,
    coalesce(arg_min(duration_s, meter) filter (meter <= 2), 0) as claimed_duration_s,
    coalesce(arg_min(units, meter) filter (meter <= 2), 0) as claimed_units,
    coalesce(arg_max(octets_in, meter) filter (meter > 2), 0) as other_octets_in,
    coalesce(arg_max(octets_out, meter) filter (meter > 2), 0) as other_octets_out,
    coalesce(arg_max(duration_s, meter) filter (meter > 2), 0) as other_duration_s,
    coalesce(arg_max(units, meter) filter (meter > 2), 0) as other_units
from reports
group by visited, home, session_id, service;
