-- Each account, who owes whom in which currency: theirs and ours, each summed for itself.
create temp table accounts as
select
    home, visited, currency,
    coalesce(sum(theirs), 0) as theirs, coalesce(sum(ours), 0) as ours
from (
    select home, visited, currency, nano as theirs from told where not beside
    union all by name
    select home, visited, currency, nano as ours from parts
    where counts and status = 0 and currency is not null
    union all by name
    select home, visited, currency, nano as ours from adjusted
)
group by home, visited, currency
order by home, visited, currency;
