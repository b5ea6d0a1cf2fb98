BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v1.3.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL,
	study_name VARCHAR(512) NOT NULL,
	direction VARCHAR(8) NOT NULL,
	PRIMARY KEY (study_id),
	CONSTRAINT studydirection CHECK (direction IN ('NOT_SET', 'MINIMIZE', 'MAXIMIZE'))
);
INSERT INTO "studies" VALUES(1,'leaves','MINIMIZE');
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL,
	study_id INTEGER,
	"key" VARCHAR(512),
	value_json VARCHAR(2048),
	PRIMARY KEY (study_system_attribute_id),
	UNIQUE (study_id, "key"),
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL,
	study_id INTEGER,
	"key" VARCHAR(512),
	value_json VARCHAR(2048),
	PRIMARY KEY (study_user_attribute_id),
	UNIQUE (study_id, "key"),
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'a','[1, 2]');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL,
	trial_id INTEGER,
	param_name VARCHAR(512),
	param_value FLOAT,
	distribution_json VARCHAR(2048),
	PRIMARY KEY (param_id),
	UNIQUE (trial_id, param_name),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'x',5.48813503927324752851e-01,'{"name": "UniformDistribution", "attributes": {"low": 0, "high": 1}}');
INSERT INTO "trial_params" VALUES(2,1,'n',1.0,'{"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 5, "step": 1}}');
INSERT INTO "trial_params" VALUES(3,1,'c',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(4,2,'x',8.57945617622756784292e-01,'{"name": "UniformDistribution", "attributes": {"low": 0, "high": 1}}');
INSERT INTO "trial_params" VALUES(5,2,'n',2.0,'{"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 5, "step": 1}}');
INSERT INTO "trial_params" VALUES(6,2,'c',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(7,3,'x',6.45894113066656117005e-01,'{"name": "UniformDistribution", "attributes": {"low": 0, "high": 1}}');
INSERT INTO "trial_params" VALUES(8,3,'n',5.0,'{"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 5, "step": 1}}');
INSERT INTO "trial_params" VALUES(9,3,'c',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
INSERT INTO "trial_params" VALUES(10,4,'x',8.91773000782079772186e-01,'{"name": "UniformDistribution", "attributes": {"low": 0, "high": 1}}');
INSERT INTO "trial_params" VALUES(11,4,'n',1.0,'{"name": "IntUniformDistribution", "attributes": {"low": 1, "high": 5, "step": 1}}');
INSERT INTO "trial_params" VALUES(12,4,'c',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["a", "b"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL,
	trial_id INTEGER,
	"key" VARCHAR(512),
	value_json VARCHAR(2048),
	PRIMARY KEY (trial_system_attribute_id),
	UNIQUE (trial_id, "key"),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,3,'fail_reason','"Trial 2 failed because of the following error: ValueError()"');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL,
	trial_id INTEGER,
	"key" VARCHAR(512),
	value_json VARCHAR(2048),
	PRIMARY KEY (trial_user_attribute_id),
	UNIQUE (trial_id, "key"),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'note','{"k": 1}');
INSERT INTO "trial_user_attributes" VALUES(2,2,'note','{"k": 1}');
INSERT INTO "trial_user_attributes" VALUES(3,3,'note','{"k": 1}');
INSERT INTO "trial_user_attributes" VALUES(4,4,'note','{"k": 1}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL,
	trial_id INTEGER,
	step INTEGER,
	value FLOAT,
	PRIMARY KEY (trial_value_id),
	UNIQUE (trial_id, step),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,1,5.48813503927324752851e-01);
INSERT INTO "trial_values" VALUES(2,2,1,8.57945617622756784292e-01);
INSERT INTO "trial_values" VALUES(3,4,1,8.91773000782079772186e-01);
CREATE TABLE trials (
	trial_id INTEGER NOT NULL,
	number INTEGER,
	study_id INTEGER,
	state VARCHAR(8) NOT NULL,
	value FLOAT,
	datetime_start DATETIME,
	datetime_complete DATETIME,
	PRIMARY KEY (trial_id),
	FOREIGN KEY(study_id) REFERENCES studies (study_id),
	CONSTRAINT trialstate CHECK (state IN ('RUNNING', 'COMPLETE', 'PRUNED', 'FAIL', 'WAITING'))
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE',1.54881350392732475285e+00,'2026-11-30 04:59:59.093380','2026-11-30 04:59:59.109403');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE',2.85794561762275689531e+00,'2026-11-30 04:59:59.120461','2026-11-30 04:59:59.128060');
INSERT INTO "trials" VALUES(3,2,1,'FAIL',NULL,'2026-11-30 04:59:59.138343','2026-11-30 04:59:59.147486');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE',1.8917730007820798832e+00,'2026-11-30 04:59:59.151128','2026-11-30 04:59:59.158807');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL,
	schema_version INTEGER,
	library_version VARCHAR(256),
	PRIMARY KEY (version_info_id),
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'2.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
COMMIT;
