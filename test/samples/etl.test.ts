import { Stet } from 'stet'
import { afterAll, expect, test } from 'vitest'
import { etl } from '../../samples/etl.js'
import { testDatabase } from '../support/server.js'

const database = await testDatabase()
const before = process.env.DATABASE_URL
process.env.DATABASE_URL = database.url
afterAll(() => {
  if (before === undefined) delete process.env.DATABASE_URL
  else process.env.DATABASE_URL = before
})

test('a load that is cut off goes on at its checkpoint, and what was loaded is right', async () => {
  // The first time that row 1234 arrives, the connection of the load is cut. A sequence keeps count through rollbacks.
  await database.query(`
    CREATE SCHEMA stet_sample_etl;
    CREATE TABLE stet_sample_etl.sales
      (id bigint PRIMARY KEY, day date NOT NULL, country text NOT NULL, cents bigint NOT NULL);
    CREATE SEQUENCE cuts;
    CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('cuts') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
      RETURN NEW;
    END $$;
    CREATE SEQUENCE first_rows;
    CREATE FUNCTION count_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM nextval('first_rows');
      RETURN NEW;
    END $$;
    CREATE TRIGGER count_first BEFORE INSERT ON stet_sample_etl.sales FOR EACH ROW WHEN (NEW.id = 1)
      EXECUTE FUNCTION count_first();
    CREATE TRIGGER cut BEFORE INSERT ON stet_sample_etl.sales FOR EACH ROW WHEN (NEW.id = 1234) EXECUTE FUNCTION cut()`)

  await using stet = new Stet({ url: database.url })
  await stet.worker({ workflows: [etl] }).start()
  const run = await stet.start(etl, { rows: 2_000, batch: 100 })
  // One row in 97 has no amount.
  expect(await run.result()).toEqual({ lastId: 2_000, sales: 1_980, rejected: 20, countries: 4, days: 10 })

  const load = (await run.graph()).nodes.find(({ name }) => name === 'transform and load')
  expect(load).toMatchObject({ status: 'completed', attempts: 2 })
  // Row 1234 came twice, row 1 once: the second attempt did not begin at the start.
  const { rows } = await database.query(
    'SELECT cuts.last_value::int AS cuts, first_rows.last_value::int AS firsts FROM cuts, first_rows',
  )
  expect(rows).toEqual([{ cuts: 2, firsts: 1 }])
  const oracle = await database.query(`
    SELECT upper(trim(country)) AS key, sum(round(amount::numeric * 100))::float8 AS cents
    FROM stet_sample_etl.raw_sales WHERE amount <> 'n/a' GROUP BY 1 ORDER BY 1`)
  const loaded = await database.query(
    "SELECT key, cents::float8 AS cents FROM stet_sample_etl.totals WHERE kind = 'country' ORDER BY 1",
  )
  expect(loaded.rows).toEqual(oracle.rows)
})
