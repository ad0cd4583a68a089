-- The visited operator's records of one pair that a run rated, with what each costs, as they began.
select
    used.*,
    rated.seller_minor + rated.host_minor + rated.protocol_minor as charge_minor,
    rated.tax_minor
from read_parquet(getvariable('rated')) as rated
join read_parquet(getvariable('lines')) as lines on lines.line = rated.line
join read_parquet(getvariable('files'), hive_partitioning = false) as used
    on used.usage_id = rated.usage_id
where rated.status = 0 and used.side = 1
    and lines.home = getvariable('home') and lines.visited = getvariable('visited')
order by used.start_us, used.usage_id
