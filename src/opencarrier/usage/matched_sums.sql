-- What every batch adds: sessions and octets by outcome, and the differences that are watched.
insert into counted
select
    outcome, count(*),
    sum(claimed_octets_in + claimed_octets_out),
    sum(paid_octets_in + paid_octets_out),
    sum(disputed_octets_in + disputed_octets_out)
from matches group by outcome;

create or replace temp macro difference(a, b) as
    case when greatest(a, b) = 0 then 0
    else ((case when a >= b then 1 else -1 end) * (abs(a - b) * 1000000 // greatest(a, b)))::bigint end;

create or replace temp view apart as
select
    visited, home, node,
    case
        when outcome = 1 then 0
        when claimed_octets_in + claimed_octets_out + other_octets_in + other_octets_out = 0
        then difference(claimed_duration_s, other_duration_s)
        else difference(claimed_octets_in + claimed_octets_out, other_octets_in + other_octets_out)
    end as value
from judged_sides where outcome in (1, 2);

insert into watched
select visited, home, null, count(*), sum(value), sum(value * value) from apart
group by visited, home;
insert into watched
select visited, null, node, count(*), sum(value), sum(value * value) from apart
where node is not null group by visited, node;
