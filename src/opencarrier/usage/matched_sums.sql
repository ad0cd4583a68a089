-- Sums of what was written: sessions and octets by outcome, and the differences that are watched.
create or replace temp view counts as
select
    outcome, count(*) as sessions,
    sum(claimed_octets_in::hugeint + claimed_octets_out::hugeint) as claimed_octets,
    sum(paid_octets_in::hugeint + paid_octets_out::hugeint) as paid_octets,
    sum(disputed_octets_in::hugeint + disputed_octets_out::hugeint) as disputed_octets
from read_parquet(getvariable('matches')) group by outcome;

create or replace temp view measured as
select
    visited, home, node,
    claimed_octets_in::hugeint + claimed_octets_out::hugeint as claimed,
    other_octets_in::hugeint + other_octets_out::hugeint as other,
    claimed_duration_s::hugeint as claimed_s, other_duration_s::hugeint as other_s
from read_parquet(getvariable('matches')) where outcome in (1, 2);

create or replace temp view apart as
select
    visited, home, node,
    case when greatest(claimed, other) = 0 then difference(claimed_s, other_s)
    else difference(claimed, other) end as value
from measured;

create or replace temp view watched as
with kept as (
    select visited, home, null::varchar as node, value from apart
    union all
    select visited, null::varchar, node, value from apart where node is not null
)
select visited, home, node, count(*), sum(value), sum(value * value) from kept group by all;
