package runner

import (
	"cmp"
	"strings"
)

// CI is the job of a continuous-integration service that the run was part of,
// as environment variables claim it.
type CI struct {
	// Service is for example "GitHub Actions".
	Service string `json:"service"`
	// Run is the URL of the run's page.
	Run        string `json:"run"`
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	// Ref is the branch or tag.
	Ref string `json:"ref"`
	// Workflow is the file, or the name, of what the service was to do, and Job
	// the part of it.
	Workflow string `json:"workflow"`
	Job      string `json:"job"`
}

// services are those whose jobs are recognised: by the variable that says so,
// then where the fields of CI come from. A value is made of variables in
// braces; one that is not set leaves the field unknown.
var services = []struct {
	name, mark                                  string
	run, repository, commit, ref, workflow, job string
}{
	// https://docs.github.com/actions/reference/workflows-and-actions/variables
	{"GitHub Actions", "GITHUB_ACTIONS", "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}/attempts/{GITHUB_RUN_ATTEMPT}", "{GITHUB_REPOSITORY}", "{GITHUB_SHA}", "{GITHUB_REF}", "{GITHUB_WORKFLOW_REF}", "{GITHUB_JOB}"},
	// https://docs.gitlab.com/ci/variables/predefined_variables/
	{"GitLab CI", "GITLAB_CI", "{CI_JOB_URL}", "{CI_PROJECT_PATH}", "{CI_COMMIT_SHA}", "{CI_COMMIT_REF_NAME}", "{CI_CONFIG_PATH}", "{CI_JOB_NAME}"},
	// https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables
	{"Jenkins", "JENKINS_URL", "{BUILD_URL}", "{GIT_URL}", "{GIT_COMMIT}", "{GIT_BRANCH}", "{JOB_NAME}", "{STAGE_NAME}"},
}

// continuousIntegration is nil where no service says that it runs this.
func continuousIntegration(environ []string) *CI {
	for _, s := range services {
		if mark := variable(environ, s.mark); mark == "" || mark == "false" {
			continue
		}
		fill := func(template string) string { return expand(template, environ) }
		return &CI{
			Service: s.name, Run: fill(s.run), Repository: withoutUser(fill(s.repository)), Commit: fill(s.commit), Ref: fill(s.ref), Workflow: fill(s.workflow), Job: fill(s.job),
		}
	}
	return nil
}

// expand puts variables where their names stand in braces.
func expand(template string, environ []string) string {
	var text strings.Builder
	for rest := template; rest != ""; {
		before, after, _ := strings.Cut(rest, "{")
		name, left, _ := strings.Cut(after, "}")
		text.WriteString(before)
		if name != "" {
			value := variable(environ, name)
			if value == "" {
				return unknownPrefix + "$" + name + " is not set"
			}
			text.WriteString(value)
		}
		rest = left
	}
	return cmp.Or(text.String(), unknownPrefix+"it is empty")
}
