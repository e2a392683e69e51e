CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE alerts (
	id TEXT NOT NULL,
	model TEXT NOT NULL,
	kind TEXT NOT NULL,
	at BIGINT NOT NULL,
	subjects TEXT NOT NULL,
	sentence TEXT NOT NULL,
	version INTEGER NOT NULL,
	delivered BOOLEAN NOT NULL,
	cycle TEXT,
	PRIMARY KEY (id)
);
CREATE INDEX alerts_by_time ON alerts (model, at);
CREATE TABLE cycles (
	id TEXT NOT NULL,
	model TEXT NOT NULL,
	goal TEXT NOT NULL,
	state TEXT NOT NULL,
	as_of BIGINT NOT NULL,
	started_at BIGINT NOT NULL,
	asked TEXT NOT NULL,
	cycle TEXT NOT NULL,
	work TEXT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX cycles_by_model ON cycles (model, started_at, id);
CREATE UNIQUE INDEX cycles_one_running ON cycles (model) WHERE state = 'running';
CREATE TABLE dataset_versions (
	dataset TEXT NOT NULL,
	number INTEGER NOT NULL,
	digest TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	rows BIGINT NOT NULL,
	bytes BIGINT NOT NULL,
	columns TEXT NOT NULL,
	files TEXT NOT NULL,
	actor TEXT NOT NULL, commit_id TEXT DEFAULT '' NOT NULL, tree TEXT DEFAULT '' NOT NULL, branch TEXT DEFAULT '' NOT NULL, message TEXT DEFAULT '' NOT NULL, parents TEXT DEFAULT '[]' NOT NULL, origin TEXT DEFAULT '[]' NOT NULL, count BIGINT DEFAULT 0 NOT NULL, deleted_by TEXT DEFAULT '' NOT NULL, deleted_reason TEXT DEFAULT '' NOT NULL, deleted_at BIGINT, freed_at BIGINT,
	PRIMARY KEY (dataset, number)
);
CREATE INDEX dataset_versions_by_digest ON dataset_versions (dataset, digest);
CREATE TABLE evaluations (
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	at BIGINT NOT NULL,
	outcome TEXT NOT NULL,
	subject TEXT NOT NULL,
	baseline TEXT,
	data TEXT,
	metrics TEXT NOT NULL,
	noise FLOAT,
	verdicts TEXT NOT NULL, basis TEXT DEFAULT '{}' NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX evaluations_by_subject ON evaluations (subject, at, id);
CREATE TABLE events (
	id TEXT NOT NULL,
	at BIGINT NOT NULL,
	recorded_at BIGINT NOT NULL,
	subject TEXT NOT NULL,
	kind TEXT NOT NULL,
	actor TEXT NOT NULL,
	message TEXT NOT NULL,
	facts TEXT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX events_by_subject ON events (subject, at, id);
CREATE TABLE monitored (
	model TEXT NOT NULL,
	until BIGINT NOT NULL,
	PRIMARY KEY (model)
);
CREATE TABLE recipes (
	id TEXT NOT NULL,
	recipe TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	"commit" TEXT,
	dirty BOOLEAN NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE replays (
	id INTEGER NOT NULL,
	since BIGINT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE revisions (
	model TEXT NOT NULL,
	revision INTEGER NOT NULL,
	"key" TEXT NOT NULL,
	version INTEGER NOT NULL,
	at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	reason TEXT NOT NULL,
	state TEXT NOT NULL,
	served_at BIGINT,
	error TEXT,
	previous INTEGER, "plan" TEXT, outcome TEXT DEFAULT '' NOT NULL, step INTEGER DEFAULT '0' NOT NULL, step_at BIGINT, environment TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (model, revision),
	UNIQUE (model, "key")
);
CREATE TABLE runs (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	experiment TEXT NOT NULL,
	source TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	params TEXT NOT NULL,
	tags TEXT NOT NULL,
	recipe TEXT,
	cycle TEXT,
	replica BIGINT,
	seed BIGINT,
	status TEXT NOT NULL,
	ended_at BIGINT,
	message TEXT,
	applied BIGINT NOT NULL, user TEXT DEFAULT '' NOT NULL, lifecycle TEXT DEFAULT 'active' NOT NULL, deleted_at BIGINT,
	PRIMARY KEY (id)
);
CREATE INDEX runs_by_cycle ON runs (cycle, started_at, id);
CREATE INDEX runs_by_start ON runs (started_at, id);
CREATE TABLE usages (
	id TEXT NOT NULL,
	at BIGINT NOT NULL,
	model TEXT NOT NULL,
	run TEXT NOT NULL,
	cpu_seconds FLOAT NOT NULL,
	wall_seconds FLOAT NOT NULL,
	cycle TEXT,
	PRIMARY KEY (id)
);
CREATE INDEX usages_by_cycle ON usages (cycle);
CREATE INDEX usages_by_model ON usages (model, at);
CREATE TABLE run_metrics (
	run TEXT NOT NULL,
	name TEXT NOT NULL,
	step BIGINT NOT NULL,
	value DOUBLE, experiment TEXT DEFAULT '0' NOT NULL, at BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (run, name),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE trainings (
	id TEXT NOT NULL,
	recipe TEXT NOT NULL,
	replica INTEGER NOT NULL,
	ended_at BIGINT NOT NULL,
	training TEXT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(recipe) REFERENCES recipes (id)
);
CREATE INDEX trainings_by_recipe ON trainings (recipe, replica, ended_at);
CREATE TABLE experiments (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	lifecycle TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	artifacts TEXT NOT NULL,
	tags TEXT NOT NULL, deleted_at BIGINT,
	PRIMARY KEY (id),
	UNIQUE (name)
);
CREATE INDEX runs_by_experiment ON runs (experiment, lifecycle, started_at DESC, id, status, ended_at);
CREATE INDEX runs_by_name ON runs (experiment, lifecycle, substr(name, 1, 120), id);
CREATE INDEX run_metrics_by_value ON run_metrics (experiment, name, value, run);
CREATE INDEX run_metrics_by_name ON run_metrics (name, value);
CREATE TABLE run_chunks (
	run TEXT NOT NULL,
	name TEXT NOT NULL,
	id BIGINT NOT NULL,
	points BIGINT NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (run, name, id),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE run_params (
	run TEXT NOT NULL,
	name TEXT NOT NULL,
	experiment TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (run, name),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE INDEX run_params_by_value ON run_params (experiment, name, substr(value, 1, 120), run);
CREATE TABLE run_tags (
	run TEXT NOT NULL,
	name TEXT NOT NULL,
	experiment TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (run, name),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE INDEX run_tags_by_value ON run_tags (experiment, name, substr(value, 1, 120), run);
CREATE TABLE artifact_files (
	owner TEXT NOT NULL,
	path TEXT NOT NULL,
	digest TEXT NOT NULL,
	size BIGINT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (owner, path)
)
 WITHOUT ROWID;
CREATE TABLE logged_models (
	id TEXT NOT NULL,
	experiment TEXT NOT NULL,
	name TEXT NOT NULL,
	artifacts TEXT NOT NULL,
	status TEXT NOT NULL,
	message TEXT,
	model_type TEXT NOT NULL,
	run TEXT NOT NULL,
	lifecycle TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL, deleted_at BIGINT,
	PRIMARY KEY (id)
);
CREATE INDEX logged_models_by_experiment ON logged_models (experiment, lifecycle, created_at, id);
CREATE INDEX logged_models_by_run ON logged_models (run);
CREATE TABLE logged_model_params (
	model TEXT NOT NULL,
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (model, name),
	FOREIGN KEY(model) REFERENCES logged_models (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE logged_model_tags (
	model TEXT NOT NULL,
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (model, name),
	FOREIGN KEY(model) REFERENCES logged_models (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE logged_model_metrics (
	model TEXT NOT NULL,
	name TEXT NOT NULL,
	at BIGINT NOT NULL,
	step BIGINT NOT NULL,
	run TEXT NOT NULL,
	dataset_name TEXT NOT NULL,
	dataset_digest TEXT NOT NULL,
	value DOUBLE,
	PRIMARY KEY (model, name, at, step, run, dataset_name, dataset_digest),
	FOREIGN KEY(model) REFERENCES logged_models (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE run_models (
	run TEXT NOT NULL,
	kind TEXT NOT NULL,
	model TEXT NOT NULL,
	step BIGINT NOT NULL,
	PRIMARY KEY (run, kind, model, step),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE INDEX run_models_by_model ON run_models (model);
CREATE TABLE catalog_models (
	name TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	description TEXT NOT NULL,
	numbers BIGINT NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE catalog_versions (
	model TEXT NOT NULL,
	number BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	description TEXT NOT NULL,
	stage TEXT NOT NULL,
	source TEXT NOT NULL,
	storage TEXT NOT NULL,
	run TEXT NOT NULL,
	run_link TEXT NOT NULL,
	logged_model TEXT NOT NULL,
	PRIMARY KEY (model, number),
	FOREIGN KEY(model) REFERENCES catalog_models (name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX catalog_versions_by_stage ON catalog_versions (model, stage, number);
CREATE INDEX catalog_versions_by_run ON catalog_versions (run);
CREATE INDEX catalog_versions_by_time ON catalog_versions (updated_at, model, number);
CREATE TABLE catalog_model_tags (
	model TEXT NOT NULL,
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (model, name),
	FOREIGN KEY(model) REFERENCES catalog_models (name) ON DELETE CASCADE ON UPDATE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE catalog_version_tags (
	model TEXT NOT NULL,
	number BIGINT NOT NULL,
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (model, number, name),
	FOREIGN KEY(model, number) REFERENCES catalog_versions (model, number) ON DELETE CASCADE ON UPDATE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE catalog_aliases (
	model TEXT NOT NULL,
	alias TEXT NOT NULL,
	number BIGINT NOT NULL,
	PRIMARY KEY (model, alias),
	FOREIGN KEY(model, number) REFERENCES catalog_versions (model, number) ON DELETE CASCADE ON UPDATE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE run_inputs (
	run TEXT NOT NULL,
	name TEXT NOT NULL,
	digest TEXT NOT NULL,
	experiment TEXT NOT NULL,
	source_type TEXT NOT NULL,
	source TEXT NOT NULL,
	schema TEXT,
	profile TEXT,
	context TEXT NOT NULL,
	tags TEXT NOT NULL, position BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (run, name, digest),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE INDEX run_inputs_by_name ON run_inputs (experiment, name, digest);
CREATE INDEX runs_by_deletion ON runs (deleted_at);
CREATE INDEX runs_by_user ON runs (experiment, lifecycle, substr("user", 1, 120), started_at DESC, id);
CREATE TABLE run_provenance (
	run TEXT NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (run),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);
CREATE TABLE run_writers (
	run TEXT NOT NULL,
	writer TEXT NOT NULL,
	applied BIGINT NOT NULL,
	PRIMARY KEY (run, writer),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE run_media (
	run TEXT NOT NULL,
	path TEXT NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (run, path),
	FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE TABLE imports (
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	source TEXT NOT NULL,
	stamp TEXT NOT NULL,
	whole BOOLEAN NOT NULL,
	tally TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (kind, id)
);
CREATE INDEX imports_by_source ON imports (source, id);
CREATE INDEX dataset_versions_by_commit ON dataset_versions (commit_id);
CREATE TABLE data_sets (
	name TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	settings TEXT NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE data_refs (
	dataset TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	number BIGINT,
	changed_at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	settings TEXT NOT NULL,
	PRIMARY KEY (dataset, kind, name)
);
CREATE TABLE data_staged (
	dataset TEXT NOT NULL,
	branch TEXT NOT NULL,
	path TEXT NOT NULL,
	entry TEXT,
	at BIGINT NOT NULL,
	PRIMARY KEY (dataset, branch, path)
);
CREATE TABLE data_metadata (
	dataset TEXT NOT NULL,
	path TEXT NOT NULL,
	digest TEXT NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (dataset, path, digest)
);
CREATE TABLE data_reviews (
	dataset TEXT NOT NULL,
	number BIGINT NOT NULL,
	source TEXT NOT NULL,
	target TEXT NOT NULL,
	title TEXT NOT NULL,
	text TEXT NOT NULL,
	author TEXT NOT NULL,
	state TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	merged BIGINT,
	PRIMARY KEY (dataset, number)
);
CREATE TABLE data_review_events (
	dataset TEXT NOT NULL,
	number BIGINT NOT NULL,
	position BIGINT NOT NULL,
	kind TEXT NOT NULL,
	actor TEXT NOT NULL,
	at BIGINT NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (dataset, number, position),
	FOREIGN KEY(dataset, number) REFERENCES data_reviews (dataset, number) ON DELETE CASCADE
);
CREATE INDEX run_inputs_by_version ON run_inputs (name, digest);
CREATE TABLE model_versions (
	model TEXT NOT NULL,
	number BIGINT NOT NULL,
	id TEXT NOT NULL,
	origin TEXT NOT NULL,
	governed BOOLEAN NOT NULL,
	run TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	status TEXT NOT NULL,
	approved_by TEXT,
	spec TEXT NOT NULL,
	PRIMARY KEY (model, number),
	FOREIGN KEY(model, number) REFERENCES catalog_versions (model, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX one_version_of_a_run ON model_versions (run) WHERE origin = 'treadle';
CREATE UNIQUE INDEX one_version_in_production ON model_versions (model) WHERE governed AND status = 'production';
CREATE INDEX model_versions_by_time ON model_versions (created_at, model, number);
CREATE TABLE model_transitions (
	model TEXT NOT NULL,
	seq INTEGER NOT NULL,
	"key" TEXT NOT NULL,
	number BIGINT NOT NULL,
	"before" TEXT,
	"after" TEXT NOT NULL,
	at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	reason TEXT NOT NULL,
	override BOOLEAN NOT NULL,
	PRIMARY KEY (model, seq),
	FOREIGN KEY(model) REFERENCES catalog_models (name) ON DELETE CASCADE ON UPDATE CASCADE,
	UNIQUE (model, "key", number)
);
CREATE TABLE model_approvals (
	id TEXT NOT NULL,
	model TEXT NOT NULL,
	number BIGINT NOT NULL,
	stage TEXT NOT NULL,
	actor TEXT NOT NULL,
	reason TEXT NOT NULL,
	at BIGINT NOT NULL,
	withdrawn_at BIGINT,
	withdrawn_by TEXT DEFAULT '' NOT NULL,
	withdrawn_reason TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(model, number) REFERENCES catalog_versions (model, number) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX model_approvals_by_version ON model_approvals (model, number, at);
CREATE TABLE trial_counts (
	model TEXT NOT NULL,
	revision INTEGER NOT NULL,
	process TEXT NOT NULL,
	replica TEXT NOT NULL,
	report TEXT NOT NULL,
	PRIMARY KEY (model, revision, process)
);
CREATE TABLE windows (
	model TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	segment TEXT DEFAULT '' NOT NULL,
	statistic TEXT NOT NULL,
	until BIGINT NOT NULL,
	since BIGINT NOT NULL,
	version INTEGER NOT NULL,
	state TEXT NOT NULL,
	value FLOAT,
	n BIGINT NOT NULL,
	sentence TEXT NOT NULL,
	low FLOAT,
	high FLOAT,
	"limit" FLOAT,
	base_rate FLOAT,
	mean_prediction FLOAT,
	severity TEXT,
	threshold FLOAT,
	chance FLOAT,
	p_value FLOAT,
	e_value FLOAT,
	importance FLOAT,
	explained_by TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (model, kind, subject, segment, statistic, until)
);
CREATE INDEX windows_by_time ON windows (model, until);
CREATE TABLE model_card_texts (
	model TEXT NOT NULL,
	section TEXT NOT NULL,
	revision INTEGER NOT NULL,
	text TEXT NOT NULL,
	actor TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (model, section, revision),
	FOREIGN KEY(model) REFERENCES catalog_models (name) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE incidents (
	id TEXT NOT NULL,
	model TEXT NOT NULL,
	number INTEGER NOT NULL,
	version INTEGER NOT NULL,
	state TEXT NOT NULL,
	severity TEXT NOT NULL,
	title TEXT NOT NULL,
	since BIGINT NOT NULL,
	opened_at BIGINT NOT NULL,
	last_at BIGINT NOT NULL,
	kinds TEXT NOT NULL,
	subjects TEXT NOT NULL,
	acknowledged_at BIGINT,
	acknowledged_by TEXT NOT NULL,
	escalated_at BIGINT,
	resolved_at BIGINT,
	resolved_by TEXT NOT NULL,
	note TEXT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT incidents_by_number UNIQUE (model, number)
);
CREATE TABLE incident_alerts (
	alert TEXT NOT NULL,
	incident TEXT NOT NULL,
	PRIMARY KEY (alert)
);
CREATE INDEX incident_alerts_by_incident ON incident_alerts (incident);
CREATE TABLE mutes (
	id TEXT NOT NULL,
	model TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	since BIGINT NOT NULL,
	until BIGINT NOT NULL,
	"by" TEXT NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX mutes_by_model ON mutes (model, until);
CREATE TABLE deliveries (
	id TEXT NOT NULL,
	channel TEXT NOT NULL,
	notice TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	next_at BIGINT NOT NULL,
	delivered_at BIGINT,
	error TEXT NOT NULL,
	PRIMARY KEY (id, channel)
);
CREATE INDEX deliveries_by_time ON deliveries (delivered_at, next_at);
CREATE TABLE load_tests (
	id TEXT NOT NULL,
	model TEXT NOT NULL,
	version INTEGER NOT NULL,
	at BIGINT NOT NULL,
	result TEXT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX load_tests_by_model ON load_tests (model, at);
CREATE TABLE lineage_told (
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	state TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (kind, id)
);
CREATE TABLE replicas (
	model TEXT NOT NULL,
	environment TEXT NOT NULL,
	replica TEXT NOT NULL,
	heard_at BIGINT NOT NULL,
	report TEXT NOT NULL,
	PRIMARY KEY (model, environment, replica)
);
CREATE TABLE service_minutes (
	model TEXT NOT NULL,
	environment TEXT NOT NULL,
	minute BIGINT NOT NULL,
	requests BIGINT NOT NULL,
	errors BIGINT NOT NULL,
	slow BIGINT NOT NULL,
	PRIMARY KEY (model, environment, minute)
);
CREATE TABLE payloads (
	model TEXT NOT NULL,
	event TEXT NOT NULL,
	side TEXT NOT NULL,
	at BIGINT NOT NULL,
	received_at BIGINT NOT NULL,
	service TEXT NOT NULL,
	asked INTEGER,
	output TEXT NOT NULL,
	body BLOB NOT NULL,
	size BIGINT NOT NULL,
	batch TEXT,
	version INTEGER,
	PRIMARY KEY (model, event, side)
);
CREATE INDEX payloads_by_batch ON payloads (batch, side, received_at, size);
