-- What every batch adds: sums by line and by node, in 128 bits, and what waits.

-- A pair without any line has no agreement; one with lines has none in force.
update rated set status = 3
where status = 4 and (waiting_home, waiting_visited) not in (select home, visited from pairs);

insert into line_sums
select
    line,
    count(*) as records,
    sum(amount) as amount,
    sum(seller_minor) as seller_minor,
    sum(host_minor) as host_minor,
    sum(protocol_minor) as protocol_minor,
    sum(tax_minor) as tax_minor
from rated where status = 0 and line is not null group by line;

insert into node_sums
select account, node, count(*) as records, sum(host_minor) as host_minor
from rated where status = 0 and line is not null and node is not null group by account, node;

insert into waiting
select usage_id, waiting_day, waiting_home, waiting_visited, status from rated where status > 0;

insert into counts
select
    count(*) as rated,
    count(*) filter (status > 0) as suspended,
    count(*) filter (status = 0 and line is null) as settlement_free,
    count(*) filter (dispute > 0) as disputed
from rated;
