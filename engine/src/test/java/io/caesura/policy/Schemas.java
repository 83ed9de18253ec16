package io.caesura.policy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SchemaLocation;
import com.networknt.schema.SpecVersion;
import java.io.IOException;
import java.nio.file.Path;

/** The schemas that are for editors, as an editor would use them. */
final class Schemas {

    static final String POLICY = "policy.schema.json";
    static final String SITE = "site.schema.json";

    private Schemas() {}

    /** Whether a YAML text is good by a schema of policies/. */
    static boolean accepts(String schema, String yaml) throws IOException {
        JsonNode tree = new YAMLMapper().readTree(yaml);
        return load(schema).validate(tree).isEmpty();
    }

    private static JsonSchema load(String schema) {
        // By its place, as one of the two refers to the other.
        SchemaLocation place =
                SchemaLocation.of(Path.of("policies", schema).toUri().toString());
        return JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012).getSchema(place);
    }
}
