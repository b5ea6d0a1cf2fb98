BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'finished');
INSERT INTO "studies" VALUES(2,'unfinished');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MAXIMIZE',2,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'artifacts:d737c618-e8f2-434c-a08d-bacaf0ad6455','"{\"artifact_id\": \"d737c618-e8f2-434c-a08d-bacaf0ad6455\", \"filename\": \"policy.json\", \"mimetype\": \"application/json\", \"encoding\": null}"');
INSERT INTO "study_system_attributes" VALUES(2,1,'artifacts:f9e4fc70-7279-4e08-87e4-32a4eb3e186a','"{\"artifact_id\": \"f9e4fc70-7279-4e08-87e4-32a4eb3e186a\", \"filename\": \"best.safetensors\", \"mimetype\": \"application/octet-stream\", \"encoding\": null}"');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'olw:fingerprint:feaa5b28922b','{"v": 1, "data": "dc1b1b7fa4f2d2bec50c974f3cf9ab12e432d381e3a6ebc994d97f19c4e8e610", "weights": "22c9ac13e1404b024bd618ecfc954b1e2467539641124137feb222893b43759f", "recipe": {"optimizer": "adam", "lr": 0.003, "max_lr": 1.0, "weight_decay": 0.0, "decay_norms_and_biases": true, "momentum": 0.9, "schedule": "cosine", "cosine_epochs": null, "epochs": 1, "patience": 5, "batch_size": 25, "metric": "accuracy", "bn": "eval_frozen"}, "packages": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6", "cmaes": "0.13.1"}, "code": "d2492d5178bf", "commit": "31f985634880932354a50ee00469ec028a081488"}');
INSERT INTO "study_user_attributes" VALUES(2,1,'olw:settings','"{\"version\": 1, \"data\": \"digits\", \"data_root\": null, \"columns\": {}, \"group_by\": \"auto\", \"val\": 0.2, \"test\": 0.2, \"split_seed\": 0, \"train_fraction\": 1.0, \"paper_split\": false, \"skip_bad_images\": false, \"resize\": null, \"model\": \"digits_cnn\", \"model_args\": {}, \"weights\": null, \"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225], \"image_size\": 8, \"granularity\": \"stage\", \"encoding\": \"binary\", \"baseline\": null, \"head\": \"always\", \"sampler\": \"catcmawm\", \"sampler_options\": {}, \"seed\": 0, \"recipe\": {\"optimizer\": \"adam\", \"lr\": 0.003, \"max_lr\": 1.0, \"weight_decay\": 0.0, \"decay_norms_and_biases\": true, \"momentum\": 0.9, \"schedule\": \"cosine\", \"cosine_epochs\": null, \"epochs\": 1, \"patience\": 5, \"batch_size\": 25, \"metric\": \"accuracy\", \"bn\": \"eval_frozen\", \"method\": null}, \"seeds\": [0], \"n_folds\": 1, \"tie_break\": true, \"reuse\": true, \"prune\": false, \"pruner\": \"generation\", \"seed_recipes\": false, \"init_from\": null, \"trials\": 6, \"finalists\": null, \"final_seeds\": 3, \"race\": true, \"retrain\": true, \"output\": \"FOLDER/finished\", \"keep_weights\": 0, \"checkpoint_seconds\": 10.0, \"device\": \"auto\", \"compute\": {}, \"threads\": 1, \"live\": false, \"data_fingerprint\": \"dc1b1b7fa4f2d2bec50c974f3cf9ab12e432d381e3a6ebc994d97f19c4e8e610\", \"model_digest\": \"22c9ac13e1404b024bd618ecfc954b1e2467539641124137feb222893b43759f\"}"');
INSERT INTO "study_user_attributes" VALUES(3,1,'olw:data','{"train": 50, "val": 100, "test": 746, "classes": ["5", "6", "7", "8", "9"]}');
INSERT INTO "study_user_attributes" VALUES(4,1,'olw:finalizing','{"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}');
INSERT INTO "study_user_attributes" VALUES(5,1,'olw:final','{"v": 1, "metric": "accuracy", "chosen": {"name": "trial 4", "policy": {"stem": 4.278288967226694, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "head": 4.278288967226694}, "trained_share": 0.023692982192726947, "val": [{"loss": 1.525533141467229, "accuracy": 0.34, "balanced_accuracy": 0.33999999999999997, "auc": 0.7768750190734863}, {"loss": 1.4432529035020532, "accuracy": 0.57, "balanced_accuracy": 0.5700000000000001, "auc": 0.828125}, {"loss": 1.4967467287075698, "accuracy": 0.38, "balanced_accuracy": 0.38, "auc": 0.7770000100135803}], "test": [{"loss": 1.5425141041139057, "accuracy": 0.34048257372654156, "balanced_accuracy": 0.33581528600751326, "auc": 0.7173351049423218}, {"loss": 1.4546575461415931, "accuracy": 0.5857908847184986, "balanced_accuracy": 0.585156682077358, "auc": 0.8214733004570007}, {"loss": 1.4891771198607964, "accuracy": 0.5107238605898123, "balanced_accuracy": 0.5120813573520746, "auc": 0.8089185953140259}], "images_seen": 150, "seconds": 0.03214261700009047, "flops": 254841600.0, "recipe": {}}, "finalists": [{"name": "trial 4", "policy": {"stem": 4.278288967226694, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "head": 4.278288967226694}, "trained_share": 0.023692982192726947, "val": [{"loss": 1.525533141467229, "accuracy": 0.34, "balanced_accuracy": 0.33999999999999997, "auc": 0.7768750190734863}, {"loss": 1.4432529035020532, "accuracy": 0.57, "balanced_accuracy": 0.5700000000000001, "auc": 0.828125}, {"loss": 1.4967467287075698, "accuracy": 0.38, "balanced_accuracy": 0.38, "auc": 0.7770000100135803}], "test": [{"loss": 1.5425141041139057, "accuracy": 0.34048257372654156, "balanced_accuracy": 0.33581528600751326, "auc": 0.7173351049423218}, {"loss": 1.4546575461415931, "accuracy": 0.5857908847184986, "balanced_accuracy": 0.585156682077358, "auc": 0.8214733004570007}, {"loss": 1.4891771198607964, "accuracy": 0.5107238605898123, "balanced_accuracy": 0.5120813573520746, "auc": 0.8089185953140259}], "images_seen": 150, "seconds": 0.03214261700009047, "flops": 254841600.0, "recipe": {}}], "baselines": [{"name": "full fine-tuning", "policy": {"stem": 1.0, "stage1": 1.0, "stage2": 1.0, "stage3": 1.0, "head": 1.0}, "trained_share": 1.0, "val": [{"loss": 1.245163496728282, "accuracy": 0.83, "balanced_accuracy": 0.8300000000000001, "auc": 0.9677499532699585}, {"loss": 1.2189581673820165, "accuracy": 0.75, "balanced_accuracy": 0.75, "auc": 0.9547499418258667}, {"loss": 1.2701346355963608, "accuracy": 0.74, "balanced_accuracy": 0.74, "auc": 0.9761249423027039}], "test": [{"loss": 1.2724813186095412, "accuracy": 0.7573726541554959, "balanced_accuracy": 0.7554892821747243, "auc": 0.9475162625312805}, {"loss": 1.2385739023618005, "accuracy": 0.7131367292225201, "balanced_accuracy": 0.7103994466030848, "auc": 0.9536362886428833}, {"loss": 1.2853740648747363, "accuracy": 0.6903485254691689, "balanced_accuracy": 0.6931316653709626, "auc": 0.9542539715766907}], "images_seen": 150, "seconds": 0.03940545399996154, "flops": 310137600.0, "recipe": {}}, {"name": "linear probe", "policy": {"stem": 0.0, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "head": 1.0}, "trained_share": 0.009759466682682202, "val": [{"loss": 1.6468969263425268, "accuracy": 0.24, "balanced_accuracy": 0.24000000000000005, "auc": 0.42112499475479126}, {"loss": 1.6004961752971292, "accuracy": 0.27, "balanced_accuracy": 0.27, "auc": 0.5717500448226929}, {"loss": 1.615212087864083, "accuracy": 0.22, "balanced_accuracy": 0.22000000000000003, "auc": 0.5400000214576721}], "test": [{"loss": 1.6687287305888034, "accuracy": 0.1742627345844504, "balanced_accuracy": 0.17304076139576313, "auc": 0.37495723366737366}, {"loss": 1.6116459866782389, "accuracy": 0.2158176943699732, "balanced_accuracy": 0.21442433023014149, "auc": 0.540736734867096}, {"loss": 1.6171754852628268, "accuracy": 0.23324396782841822, "balanced_accuracy": 0.23980238627889636, "auc": 0.5426511764526367}], "images_seen": 150, "seconds": 0.027836624000201482, "flops": 63974400.0, "recipe": {}}, {"name": "from scratch", "policy": {"stem": 1.0, "stage1": 1.0, "stage2": 1.0, "stage3": 1.0, "head": 1.0}, "trained_share": 1.0, "val": [{"loss": 1.59582464398708, "accuracy": 0.2, "balanced_accuracy": 0.2, "auc": 0.9686249494552612}, {"loss": 1.5960478225914563, "accuracy": 0.2, "balanced_accuracy": 0.2, "auc": 0.9617500305175781}, {"loss": 1.596279799361659, "accuracy": 0.29, "balanced_accuracy": 0.29, "auc": 0.9888750314712524}], "test": [{"loss": 1.5959094959155717, "accuracy": 0.20107238605898123, "balanced_accuracy": 0.2, "auc": 0.9583269357681274}, {"loss": 1.5970354243655736, "accuracy": 0.19973190348525469, "balanced_accuracy": 0.2, "auc": 0.9499169588088989}, {"loss": 1.5961855800495872, "accuracy": 0.2680965147453083, "balanced_accuracy": 0.26401754385964915, "auc": 0.9620403051376343}], "images_seen": 150, "seconds": 0.02919139300001916, "flops": 310137600.0, "recipe": {}}], "weights": {"path": "FOLDER/finished/best.safetensors", "sha256": "df3ac6703d14b9a1d95508d5018d01ed3193580129bd527d7dca1e1fdcadeb70"}}');
INSERT INTO "study_user_attributes" VALUES(6,2,'olw:fingerprint:feaa5b28922b','{"v": 1, "data": "dc1b1b7fa4f2d2bec50c974f3cf9ab12e432d381e3a6ebc994d97f19c4e8e610", "weights": "22c9ac13e1404b024bd618ecfc954b1e2467539641124137feb222893b43759f", "recipe": {"optimizer": "adam", "lr": 0.003, "max_lr": 1.0, "weight_decay": 0.0, "decay_norms_and_biases": true, "momentum": 0.9, "schedule": "cosine", "cosine_epochs": null, "epochs": 1, "patience": 5, "batch_size": 25, "metric": "accuracy", "bn": "eval_frozen"}, "packages": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6", "cmaes": "0.13.1"}, "code": "d2492d5178bf", "commit": "31f985634880932354a50ee00469ec028a081488"}');
INSERT INTO "study_user_attributes" VALUES(7,2,'olw:settings','"{\"version\": 1, \"data\": \"digits\", \"data_root\": null, \"columns\": {}, \"group_by\": \"auto\", \"val\": 0.2, \"test\": 0.2, \"split_seed\": 0, \"train_fraction\": 1.0, \"paper_split\": false, \"skip_bad_images\": false, \"resize\": null, \"model\": \"digits_cnn\", \"model_args\": {}, \"weights\": null, \"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225], \"image_size\": 8, \"granularity\": \"stage\", \"encoding\": \"binary\", \"baseline\": null, \"head\": \"always\", \"sampler\": \"catcmawm\", \"sampler_options\": {}, \"seed\": 0, \"recipe\": {\"optimizer\": \"adam\", \"lr\": 0.003, \"max_lr\": 1.0, \"weight_decay\": 0.0, \"decay_norms_and_biases\": true, \"momentum\": 0.9, \"schedule\": \"cosine\", \"cosine_epochs\": null, \"epochs\": 1, \"patience\": 5, \"batch_size\": 25, \"metric\": \"accuracy\", \"bn\": \"eval_frozen\", \"method\": null}, \"seeds\": [0], \"n_folds\": 1, \"tie_break\": true, \"reuse\": true, \"prune\": false, \"pruner\": \"generation\", \"seed_recipes\": false, \"init_from\": null, \"trials\": 12, \"finalists\": null, \"final_seeds\": 3, \"race\": true, \"retrain\": true, \"output\": \"FOLDER/unfinished\", \"keep_weights\": 0, \"checkpoint_seconds\": 10.0, \"device\": \"auto\", \"compute\": {}, \"threads\": 1, \"live\": false, \"data_fingerprint\": \"dc1b1b7fa4f2d2bec50c974f3cf9ab12e432d381e3a6ebc994d97f19c4e8e610\", \"model_digest\": \"22c9ac13e1404b024bd618ecfc954b1e2467539641124137feb222893b43759f\"}"');
INSERT INTO "study_user_attributes" VALUES(8,2,'olw:data','{"train": 50, "val": 100, "test": 746, "classes": ["5", "6", "7", "8", "9"]}');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,0,0.23,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,2,0,0.24,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,3,0,0.22,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,4,0,0.23,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,5,0,0.38,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,6,0,0.3,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,7,0,0.23,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,8,0,0.24,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,9,0,0.22,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,10,0,0.23,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'lr',1.42888403447024333985e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(2,1,'train/stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(3,1,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(4,1,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(5,1,'train/stage3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(6,2,'lr',2.03491808401027500854e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(7,2,'train/stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(8,2,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(9,2,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(10,2,'train/stage3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(11,3,'lr',1.09186258313091278174e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(12,3,'train/stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(13,3,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(14,3,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(15,3,'train/stage3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(16,4,'lr',1.17145940841816530164e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(17,4,'train/stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(18,4,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(19,4,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(20,4,'train/stage3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(21,5,'lr',1.28348669016800816244e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(22,5,'train/stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(23,5,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(24,5,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(25,5,'train/stage3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(26,6,'lr',3.91595731361084331556e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(27,6,'train/stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(28,6,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(29,6,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(30,6,'train/stage3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(31,7,'lr',1.42888403447024333985e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(32,7,'train/stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(33,7,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(34,7,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(35,7,'train/stage3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(36,8,'lr',2.03491808401027500854e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(37,8,'train/stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(38,8,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(39,8,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(40,8,'train/stage3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(41,9,'lr',1.09186258313091278174e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(42,9,'train/stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(43,9,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(44,9,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(45,9,'train/stage3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(46,10,'lr',1.17145940841816530164e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(47,10,'train/stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(48,10,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(49,10,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(50,10,'train/stage3',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(51,11,'lr',1.28348669016800816244e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(52,11,'train/stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(53,11,'train/stage1',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(54,11,'train/stage2',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(55,11,'train/stage3',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}, "token": "78a9937162fab0fdd8ffee39abbbf3e5", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:11+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(2,1,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.5387492459252968, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.75, "train/stem": 0.25}, "facts": {"raw": {"lr": 0.5387492459252968}}, "v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}}');
INSERT INTO "trial_system_attributes" VALUES(3,2,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}, "token": "8133fed33b0267a65547d436a88f3b30", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:11+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(4,2,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.5771367328278576, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.75, "train/stem": 0.25}, "facts": {"raw": {"lr": 0.5771367328278576}}, "v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}}');
INSERT INTO "trial_system_attributes" VALUES(5,3,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}, "token": "157fae7c2b5c1d00685dc650d2c71eb4", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:11+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(6,3,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.5095419958688976, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.25, "train/stem": 0.75}, "facts": {"raw": {"lr": 0.5095419958688976}}, "v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}}');
INSERT INTO "trial_system_attributes" VALUES(7,4,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}, "token": "7406baa5c30a0e49e394e7eea1e950c7", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:11+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(8,4,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.517181811174897, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.75, "train/stem": 0.75}, "facts": {"raw": {"lr": 0.517181811174897}}, "v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}}');
INSERT INTO "trial_system_attributes" VALUES(9,5,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}, "token": "92612f051cd7951eac7a61296e17bded", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:11+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(10,5,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.7770978423429133, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.25, "train/stem": 0.75}, "facts": {"raw": {"lr": 0.7770978423429133}}, "v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}}');
INSERT INTO "trial_system_attributes" VALUES(11,6,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}, "token": "aa4227721d6ed04c4c9109513468a8ef", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:12+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(12,6,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.6482094872687107, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.75, "train/stem": 0.25}, "facts": {"raw": {"lr": 0.6482094872687107}}, "v": 1, "owner": {"host": "vm", "pid": 9084, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:190248"}}');
INSERT INTO "trial_system_attributes" VALUES(13,7,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}, "token": "a04fbaa239872e45454208f2e616d4a6", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:26+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(14,7,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.5387492459252968, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.75, "train/stem": 0.25}, "facts": {"raw": {"lr": 0.5387492459252968}}, "v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}}');
INSERT INTO "trial_system_attributes" VALUES(15,8,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}, "token": "1b93caab8e12e3e3e8427135052ae3b7", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:26+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(16,8,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.5771367328278576, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.75, "train/stem": 0.25}, "facts": {"raw": {"lr": 0.5771367328278576}}, "v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}}');
INSERT INTO "trial_system_attributes" VALUES(17,9,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}, "token": "c38ac6d971d9478e31d35b386f375f4a", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:26+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(18,9,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.5095419958688976, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.25, "train/stem": 0.75}, "facts": {"raw": {"lr": 0.5095419958688976}}, "v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}}');
INSERT INTO "trial_system_attributes" VALUES(19,10,'olw:lease','{"v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}, "token": "b1d775dbc9dc1dbb6756d1ca6bd50aa5", "seconds": 60.0, "renewals": 0, "checkpoint": null, "expires": "2026-11-30T04:48:26+00:00"}');
INSERT INTO "trial_system_attributes" VALUES(20,10,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.517181811174897, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.75, "train/stem": 0.75}, "facts": {"raw": {"lr": 0.517181811174897}}, "v": 1, "owner": {"host": "vm", "pid": 9161, "started": "c5bd7a8c-118d-4cc7-8ba7-6551e419dcaf:4026531836:191705"}}');
INSERT INTO "trial_system_attributes" VALUES(21,11,'olw:lease','{"v": 1}');
INSERT INTO "trial_system_attributes" VALUES(22,11,'olw:trial','{"algorithm": "catcmawm/1/995b9c7c", "made_with": {"optuna-layerwise": "0.1.0", "optuna": "5.0.0", "numpy": "2.4.6", "scipy": "1.17.1", "cmaes": "0.13.1", "machine": "Linux x86_64"}, "seed": 0, "generation": 0, "base": 0, "end": 0, "missing": [], "genes": {"lr": 0.7770978423429133, "train/stage1": 0.25, "train/stage2": 0.25, "train/stage3": 0.25, "train/stem": 0.75}, "facts": {"raw": {"lr": 0.7770978423429133}}, "v": 1, "owner": null}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'olw:run','{"v": 1, "policy": {"stem": 0.0, "stage1": 0.0, "stage2": 0.0, "stage3": 0.47629467815674775, "head": 0.47629467815674775}, "generation": 0, "fold": 0, "trained_share": 0.5671000870844719, "outcome": "complete", "training": "2284ca393f72659cbe49636b62e233bce831974e6e2fb8e5d7e2d8975eb197a6", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.6447520981788142, "accuracy": 0.23, "balanced_accuracy": 0.22999999999999998, "auc": 0.5764999985694885}], "best_epochs": [0], "prefix": "at stage3.0", "started": "2026-11-30T04:47:11.764+00:00", "finished": "2026-11-30T04:47:11.800+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 71123200.0, "flops_of_all": 103379200.0, "seconds": 0.027940989000171612, "phases": {"data": 0.00024254900017695036, "forward": 0.002898004000144283, "backward": 0.0014093089998823416, "optimizer": 0.001362429999971937, "evaluation": 0.009004567999909341}, "peak_memory_bytes": 889270272}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'trained_share','0.5671');
INSERT INTO "trial_user_attributes" VALUES(3,1,'seconds','0.028');
INSERT INTO "trial_user_attributes" VALUES(4,1,'saved_work','0.312');
INSERT INTO "trial_user_attributes" VALUES(5,1,'olw:tie','1.6447520981788142');
INSERT INTO "trial_user_attributes" VALUES(6,2,'olw:run','{"v": 1, "policy": {"stem": 0.0, "stage1": 0.0, "stage2": 0.0, "stage3": 0.678306028003425, "head": 0.678306028003425}, "generation": 0, "fold": 0, "trained_share": 0.5671000870844719, "outcome": "complete", "training": "98189660c2e2df49be00823686704860bcecfe4406fbe1f85ecada52ba7469a9", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.5942972835515206, "accuracy": 0.24, "balanced_accuracy": 0.24, "auc": 0.6078749895095825}], "best_epochs": [0], "prefix": "at stage3.0", "started": "2026-11-30T04:47:11.831+00:00", "finished": "2026-11-30T04:47:11.848+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 29651200.0, "flops_of_all": 103379200.0, "seconds": 0.008855957999912789, "phases": {"data": 0.00012399399997775618, "forward": 0.0014404860000922781, "backward": 0.0009318120000898489, "optimizer": 0.000912873000061154, "evaluation": 0.0009467239999594312}, "peak_memory_bytes": 889794560}');
INSERT INTO "trial_user_attributes" VALUES(7,2,'trained_share','0.5671');
INSERT INTO "trial_user_attributes" VALUES(8,2,'seconds','0.009');
INSERT INTO "trial_user_attributes" VALUES(9,2,'saved_work','0.7132');
INSERT INTO "trial_user_attributes" VALUES(10,2,'olw:tie','1.5942972835515206');
INSERT INTO "trial_user_attributes" VALUES(11,3,'olw:run','{"v": 1, "policy": {"stem": 0.3639541943769709, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "head": 0.3639541943769709}, "generation": 0, "fold": 0, "trained_share": 0.023692982192726947, "outcome": "complete", "training": "6c46665eaac1bc4f1a8300760edc3d2273cb8ef69c53ec77864e048033123833", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.7319237469666549, "accuracy": 0.22, "balanced_accuracy": 0.22000000000000003, "auc": 0.5226250290870667}], "best_epochs": [0], "prefix": "none before stem.0, which is trained", "started": "2026-11-30T04:47:11.876+00:00", "finished": "2026-11-30T04:47:11.897+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 84947200.0, "flops_of_all": 103379200.0, "seconds": 0.01612729700013915, "phases": {"data": 0.00018979100013893913, "forward": 0.001757175999955507, "backward": 0.003680935999682333, "optimizer": 0.0008975200000804762, "evaluation": 0.003218760999970982}, "peak_memory_bytes": 893988864}');
INSERT INTO "trial_user_attributes" VALUES(12,3,'trained_share','0.023693');
INSERT INTO "trial_user_attributes" VALUES(13,3,'seconds','0.016');
INSERT INTO "trial_user_attributes" VALUES(14,3,'saved_work','0.1783');
INSERT INTO "trial_user_attributes" VALUES(15,3,'olw:tie','1.7319237469666549');
INSERT INTO "trial_user_attributes" VALUES(16,4,'olw:run','{"v": 1, "policy": {"stem": 0.39048646947272175, "stage1": 0.0, "stage2": 0.0, "stage3": 0.39048646947272175, "head": 0.39048646947272175}, "generation": 0, "fold": 0, "trained_share": 0.5810336025945166, "outcome": "complete", "training": "e98cea7959bcaa4d6705bdded9027035e272159e315a0f50bfbef9cdbb89b194", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.6482672862074619, "accuracy": 0.23, "balanced_accuracy": 0.22999999999999998, "auc": 0.5772500038146973}], "best_epochs": [0], "prefix": "none before stem.0, which is trained", "started": "2026-11-30T04:47:11.926+00:00", "finished": "2026-11-30T04:47:11.946+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 92320000.0, "flops_of_all": 103379200.0, "seconds": 0.014630638000198815, "phases": {"data": 0.00017374799995195644, "forward": 0.0019107629998416087, "backward": 0.0023040949999995064, "optimizer": 0.0011532600001373794, "evaluation": 0.0026649799999631796}, "peak_memory_bytes": 894119936}');
INSERT INTO "trial_user_attributes" VALUES(17,4,'trained_share','0.581034');
INSERT INTO "trial_user_attributes" VALUES(18,4,'seconds','0.015');
INSERT INTO "trial_user_attributes" VALUES(19,4,'saved_work','0.107');
INSERT INTO "trial_user_attributes" VALUES(20,4,'olw:tie','1.6482672862074619');
INSERT INTO "trial_user_attributes" VALUES(21,5,'olw:run','{"v": 1, "policy": {"stem": 4.278288967226694, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "head": 4.278288967226694}, "generation": 0, "fold": 0, "trained_share": 0.023692982192726947, "outcome": "complete", "training": "e7dce24e11a8ce4a0c569eb839441921d05d0eff856dc0abc5048a6d178f0381", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.420350511280057, "accuracy": 0.38, "balanced_accuracy": 0.38, "auc": 0.6997500658035278}], "best_epochs": [0], "prefix": "none before stem.0, which is trained", "started": "2026-11-30T04:47:11.975+00:00", "finished": "2026-11-30T04:47:11.992+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 84947200.0, "flops_of_all": 103379200.0, "seconds": 0.011785660999976244, "phases": {"data": 0.0002511520001462486, "forward": 0.002199350000182676, "backward": 0.002024871000003259, "optimizer": 0.0009318209999946703, "evaluation": 0.0017529189999549999}, "peak_memory_bytes": 894251008}');
INSERT INTO "trial_user_attributes" VALUES(22,5,'trained_share','0.023693');
INSERT INTO "trial_user_attributes" VALUES(23,5,'seconds','0.012');
INSERT INTO "trial_user_attributes" VALUES(24,5,'saved_work','0.1783');
INSERT INTO "trial_user_attributes" VALUES(25,5,'olw:tie','1.420350511280057');
INSERT INTO "trial_user_attributes" VALUES(26,6,'olw:run','{"v": 1, "policy": {"stem": 0.0, "stage1": 0.0, "stage2": 0.0, "stage3": 1.3053191045369477, "head": 1.3053191045369477}, "generation": 0, "fold": 0, "trained_share": 0.5671000870844719, "outcome": "complete", "training": "f775dcb5fd99bded1a737b4d75829bb7b048c28a8b9cbea325884cffa40fbb5b", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.454659916575134, "accuracy": 0.3, "balanced_accuracy": 0.3, "auc": 0.6927499771118164}], "best_epochs": [0], "prefix": "at stage3.0", "started": "2026-11-30T04:47:12.020+00:00", "finished": "2026-11-30T04:47:12.033+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 29651200.0, "flops_of_all": 103379200.0, "seconds": 0.008291280000094048, "phases": {"data": 0.00013545200022235804, "forward": 0.001150995000216426, "backward": 0.0009569689998443209, "optimizer": 0.000894886999958544, "evaluation": 0.0010678229998575262}, "peak_memory_bytes": 894251008}');
INSERT INTO "trial_user_attributes" VALUES(27,6,'trained_share','0.5671');
INSERT INTO "trial_user_attributes" VALUES(28,6,'seconds','0.008');
INSERT INTO "trial_user_attributes" VALUES(29,6,'saved_work','0.7132');
INSERT INTO "trial_user_attributes" VALUES(30,6,'olw:tie','1.454659916575134');
INSERT INTO "trial_user_attributes" VALUES(31,7,'olw:run','{"v": 1, "policy": {"stem": 0.0, "stage1": 0.0, "stage2": 0.0, "stage3": 0.47629467815674775, "head": 0.47629467815674775}, "generation": 0, "fold": 0, "trained_share": 0.5671000870844719, "outcome": "complete", "training": "2284ca393f72659cbe49636b62e233bce831974e6e2fb8e5d7e2d8975eb197a6", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.6447520981788142, "accuracy": 0.23, "balanced_accuracy": 0.22999999999999998, "auc": 0.5764999985694885}], "best_epochs": [0], "prefix": "at stage3.0", "started": "2026-11-30T04:47:26.466+00:00", "finished": "2026-11-30T04:47:26.518+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 71123200.0, "flops_of_all": 103379200.0, "seconds": 0.043164056000023265, "phases": {"data": 0.000423979000061081, "forward": 0.004515795000315848, "backward": 0.0020697679999557295, "optimizer": 0.002169627000057517, "evaluation": 0.014706990999911795}, "peak_memory_bytes": 887447552}');
INSERT INTO "trial_user_attributes" VALUES(32,7,'trained_share','0.5671');
INSERT INTO "trial_user_attributes" VALUES(33,7,'seconds','0.043');
INSERT INTO "trial_user_attributes" VALUES(34,7,'saved_work','0.312');
INSERT INTO "trial_user_attributes" VALUES(35,7,'olw:tie','1.6447520981788142');
INSERT INTO "trial_user_attributes" VALUES(36,8,'olw:run','{"v": 1, "policy": {"stem": 0.0, "stage1": 0.0, "stage2": 0.0, "stage3": 0.678306028003425, "head": 0.678306028003425}, "generation": 0, "fold": 0, "trained_share": 0.5671000870844719, "outcome": "complete", "training": "98189660c2e2df49be00823686704860bcecfe4406fbe1f85ecada52ba7469a9", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.5942972835515206, "accuracy": 0.24, "balanced_accuracy": 0.24, "auc": 0.6078749895095825}], "best_epochs": [0], "prefix": "at stage3.0", "started": "2026-11-30T04:47:26.556+00:00", "finished": "2026-11-30T04:47:26.573+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 29651200.0, "flops_of_all": 103379200.0, "seconds": 0.009064035999927, "phases": {"data": 0.00012633699998332304, "forward": 0.0010373560000971338, "backward": 0.0009909389998483675, "optimizer": 0.0010845679996691615, "evaluation": 0.0009681259998615133}, "peak_memory_bytes": 888102912}');
INSERT INTO "trial_user_attributes" VALUES(37,8,'trained_share','0.5671');
INSERT INTO "trial_user_attributes" VALUES(38,8,'seconds','0.009');
INSERT INTO "trial_user_attributes" VALUES(39,8,'saved_work','0.7132');
INSERT INTO "trial_user_attributes" VALUES(40,8,'olw:tie','1.5942972835515206');
INSERT INTO "trial_user_attributes" VALUES(41,9,'olw:run','{"v": 1, "policy": {"stem": 0.3639541943769709, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "head": 0.3639541943769709}, "generation": 0, "fold": 0, "trained_share": 0.023692982192726947, "outcome": "complete", "training": "6c46665eaac1bc4f1a8300760edc3d2273cb8ef69c53ec77864e048033123833", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.7319237469666549, "accuracy": 0.22, "balanced_accuracy": 0.22000000000000003, "auc": 0.5226250290870667}], "best_epochs": [0], "prefix": "none before stem.0, which is trained", "started": "2026-11-30T04:47:26.606+00:00", "finished": "2026-11-30T04:47:26.627+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 84947200.0, "flops_of_all": 103379200.0, "seconds": 0.01587158699999236, "phases": {"data": 0.00016107900000861264, "forward": 0.0018611069997405139, "backward": 0.003567469000017809, "optimizer": 0.0008615080000708986, "evaluation": 0.003185842999982924}, "peak_memory_bytes": 892166144}');
INSERT INTO "trial_user_attributes" VALUES(42,9,'trained_share','0.023693');
INSERT INTO "trial_user_attributes" VALUES(43,9,'seconds','0.016');
INSERT INTO "trial_user_attributes" VALUES(44,9,'saved_work','0.1783');
INSERT INTO "trial_user_attributes" VALUES(45,9,'olw:tie','1.7319237469666549');
INSERT INTO "trial_user_attributes" VALUES(46,10,'olw:run','{"v": 1, "policy": {"stem": 0.39048646947272175, "stage1": 0.0, "stage2": 0.0, "stage3": 0.39048646947272175, "head": 0.39048646947272175}, "generation": 0, "fold": 0, "trained_share": 0.5810336025945166, "outcome": "complete", "training": "e98cea7959bcaa4d6705bdded9027035e272159e315a0f50bfbef9cdbb89b194", "seeds": [0], "repeats": [null], "metrics": [{"loss": 1.6482672862074619, "accuracy": 0.23, "balanced_accuracy": 0.22999999999999998, "auc": 0.5772500038146973}], "best_epochs": [0], "prefix": "none before stem.0, which is trained", "started": "2026-11-30T04:47:26.662+00:00", "finished": "2026-11-30T04:47:26.682+00:00", "device": "cpu", "device_name": "AMD EPYC", "fingerprint": "feaa5b28922b", "recipe": {}, "images_seen": 50, "flops": 92320000.0, "flops_of_all": 103379200.0, "seconds": 0.014497751000135395, "phases": {"data": 0.00016834899975037843, "forward": 0.001747802000181764, "backward": 0.0023358520002147998, "optimizer": 0.0010856789999706962, "evaluation": 0.002664630000026591}, "peak_memory_bytes": 892297216}');
INSERT INTO "trial_user_attributes" VALUES(47,10,'trained_share','0.581034');
INSERT INTO "trial_user_attributes" VALUES(48,10,'seconds','0.014');
INSERT INTO "trial_user_attributes" VALUES(49,10,'saved_work','0.107');
INSERT INTO "trial_user_attributes" VALUES(50,10,'olw:tie','1.6482672862074619');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.23,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,0.24,'FINITE');
INSERT INTO "trial_values" VALUES(3,3,0,0.22,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,0,0.23,'FINITE');
INSERT INTO "trial_values" VALUES(5,5,0,0.38,'FINITE');
INSERT INTO "trial_values" VALUES(6,6,0,0.3,'FINITE');
INSERT INTO "trial_values" VALUES(7,7,0,0.23,'FINITE');
INSERT INTO "trial_values" VALUES(8,8,0,0.24,'FINITE');
INSERT INTO "trial_values" VALUES(9,9,0,0.22,'FINITE');
INSERT INTO "trial_values" VALUES(10,10,0,0.23,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-30 04:47:11.708120','2026-11-30 04:47:11.808825');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-30 04:47:11.820810','2026-11-30 04:47:11.856011');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-30 04:47:11.865549','2026-11-30 04:47:11.905757');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-30 04:47:11.914672','2026-11-30 04:47:11.954844');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-30 04:47:11.963899','2026-11-30 04:47:12.000289');
INSERT INTO "trials" VALUES(6,5,1,'COMPLETE','2026-11-30 04:47:12.010135','2026-11-30 04:47:12.042540');
INSERT INTO "trials" VALUES(7,0,2,'COMPLETE','2026-11-30 04:47:26.384546','2026-11-30 04:47:26.528788');
INSERT INTO "trials" VALUES(8,1,2,'COMPLETE','2026-11-30 04:47:26.543114','2026-11-30 04:47:26.582938');
INSERT INTO "trials" VALUES(9,2,2,'COMPLETE','2026-11-30 04:47:26.593737','2026-11-30 04:47:26.636146');
INSERT INTO "trials" VALUES(10,3,2,'COMPLETE','2026-11-30 04:47:26.646882','2026-11-30 04:47:26.691561');
INSERT INTO "trials" VALUES(11,4,2,'WAITING','2026-11-30 04:47:26.702393',NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
