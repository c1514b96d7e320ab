using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Recipes;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Recipes;

public class RecipeTests
{
    [Fact]
    public void A_recipe_says_what_flags_say()
    {
        Recipe recipe = RecipeReader.Parse("""
            # a comment
            method: gmp
            sparsity: 90%
            targets: ["conv*", "re:^classifier"]
            ignore: conv1
            seed: 7
            policy:
              last: no
            bounds: { floor: 10% }
            parameters:
              allocation: uniform
              end: 0.6
            training:
              epochs: 3
              optimizer: adam
              learningRate: 1e-3
            """);
        Assert.Equal(0.9, recipe.Settings.Sparsity, 12);
        Assert.Equal(["conv*", "re:^classifier"], recipe.Settings.Policy.Targets);
        Assert.Equal(["conv1"], recipe.Settings.Policy.Ignore);
        Assert.Equal((7L, false, true), (recipe.Settings.Seed, recipe.Settings.Policy.Last, recipe.Settings.Policy.First));
        Assert.Equal(0.1, recipe.Settings.Bounds.FloorFactor, 12);
        Assert.Equal((3.0, "adam", 0.001), (recipe.Training.Epochs, recipe.Training.Optimizer, recipe.Training.LearningRate));
        Assert.Equal(60, ((Sparseland.Pruning.Schedules.IntervalSchedule)((GradualPruning)recipe.CreateSparsifier(100)).Schedule).Last);
        Recipe flags = Recipe.Of("gmp").With("sparsity", "0.9").With("targets", "conv*", "re:^classifier").With("ignore", "conv1").With("seed", "7").With("policy.last", "false")
            .With("bounds.floor", "0.1").With("parameters.allocation", "uniform").With("parameters.end", "60%").With("training.epochs", "3").With("training.optimizer", "adam").With("training.learningRate", "0.001");
        Assert.Equal(flags.ToYaml(), recipe.ToYaml());
    }

    [Fact]
    public void Written_and_read_is_equal_for_random_recipes()
    {
        string[] odd = ["a: b", "x # y", "'q'", "\"w\"", "[z]", "- m", "*", "re:^a\\.b$", "ümläut", "tab\tnewline\n", "true", "null", "~", ""];
        for (int seed = 0; seed < 200; seed++)
        {
            var random = SeededRandom.Of(seed);
            MethodInfo method = MethodCatalog.All[random.NextInt(MethodCatalog.All.Count)];
            Recipe recipe = Recipe.Of(method.Id);
            foreach (MethodParameter key in RecipeKeys.Scalars.Where(_ => random.NextBool(0.4)))
            {
                if (key.Name == "pattern")
                {
                    if (method.Granularities.Contains(Granularity.NofM)) recipe = recipe.With("pattern", "2:4");
                    continue;
                }
                recipe = recipe.With(key.Name, Value(key, ref random));
            }
            foreach (MethodParameter p in method.Parameters.Where(_ => random.NextBool())) recipe = recipe.With("parameters." + p.Name, Value(p, ref random));
            foreach (string list in RecipeKeys.Lists)
            {
                if (random.NextBool()) recipe = recipe.With(list, [.. Enumerable.Range(0, random.NextInt(4)).Select(i => odd[(seed + i) % (odd.Length - 1)])]);
            }
            Recipe back = RecipeReader.Parse(recipe.ToYaml());
            Assert.Equal(recipe.ToYaml(), back.ToYaml());
            Assert.Equal(recipe.Settings.Sparsity, back.Settings.Sparsity);
            Assert.Equal(recipe.Settings.Policy.Targets, back.Settings.Policy.Targets);
            Assert.Equal(recipe.Training, back.Training);
        }

        static string Value(MethodParameter p, ref SeededRandom random) => p.Type switch
        {
            ParameterType.Switch => random.NextBool() ? "true" : "false",
            ParameterType.Choice => p.Choices[random.NextInt(p.Choices.Count)],
            ParameterType.Integer => ((long)Math.Min(p.Max, Math.Max(p.Min, random.NextInt(1000)))).ToString(),
            ParameterType.Text => random.NextBool() ? "self" : "models/a teacher #1.onnx",
            _ => Math.Clamp(random.NextDouble(), p.Min, Math.Min(p.Max, 0.999)).ToString("R"),
        };
    }

    [Theory]
    [InlineData("method: gmp\nsparsty: 0.5", "SL4010", "sparsity", 2)]
    [InlineData("method: gmp\nsparsity: 110%", "SL4002", "90%", 2)]
    [InlineData("method: gmp\nsparsity: 90", "SL4002", "90%", 2)]
    [InlineData("method: gmp\n\nparameters:\n  alocation: global", "SL4010", "allocation", 4)]
    [InlineData("method: gmp\nparameters:\n  allocation: everywhere", "SL4002", "", 3)]
    [InlineData("method: gpm", "SL4011", "gmp", 1)]
    [InlineData("method: rigl\npattern: 2:4", "SL4009", "unstructured", 2)]
    [InlineData("method: gmp\ntraining:\n  lerningRate: 1", "SL4010", "training.learningRate", 3)]
    [InlineData("method: gmp\npolicy:\n  first: perhaps", "SL4002", "", 3)]
    [InlineData("method: gmp\ntargets: ['re:(']", "SL4003", "", 2)]
    [InlineData("sparsity: 0.5", "SL4012", "method", 0)]
    [InlineData("- a\n- b", "SL4012", "", 0)]
    [InlineData("method: gmp\na: &x [1]\nb: *x", "SL4012", "", 3)]
    [InlineData("method: [a\n", "SL4012", "", 0)]
    [InlineData("method: gmp\nmethod: gmp", "SL4012", "", 0)]
    [InlineData("method: gmp\npolicy:\n  a:\n    b: 1", "SL4012", "", 3)]
    [InlineData("method: gmp\nsparsity: [0.1, 0.2]", "SL4002", "", 2)]
    public void Mistakes_are_named_with_line_and_way_out(string yaml, string code, string hint, int line)
    {
        PruningException e = Assert.Throws<PruningException>(() => RecipeReader.Parse(yaml, "r.yml"));
        Assert.Equal(code, e.Code);
        Assert.Contains(hint, (e.Try ?? "") + e.Message);
        Assert.Contains("r.yml", e.Where);
        if (line > 0) Assert.Contains($"line {line}", e.Where);
    }

    [Fact]
    public void A_sparsity_that_its_pattern_contradicts_is_refused_and_not_ignored()
    {
        Recipe both = Recipe.Of("magnitude").With("sparsity", "80%").With("pattern", "2:4");
        PruningException e = Assert.Throws<PruningException>(() => both.CreateSparsifier());
        Assert.Equal("SL4002", e.Code);
        Assert.Contains("50 %", e.Try);
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => RecipeReader.Parse("method: gmp\npattern: 1:4\nsparsity: 50%").CreateSparsifier(100)).Code);
        Assert.NotNull(both.With("sparsity", "50%").CreateSparsifier());
        Assert.NotNull(Recipe.Of("magnitude").With("pattern", "2:4").CreateSparsifier());
        Assert.NotNull(both.With("pattern", "unstructured").CreateSparsifier());
        // So are values that share out or spread over the run what a pattern fixes.
        foreach ((string method, string key, string value) in ((string, string, string)[])[("gmp", "parameters.schedule", "linear"), ("gmp", "parameters.interval", "50"), ("magnitude", "parameters.allocation", "erk"), ("synflow", "parameters.rounds", "7"), ("magnitude", "bounds.floor", "0.5"), ("magnitude", "bounds.minKeep", "3")])
        {
            Recipe free = Recipe.Of(method).With(key, value);
            Assert.NotNull(free.CreateSparsifier(100));
            Assert.Equal("SL4002", Assert.Throws<PruningException>(() => free.With("pattern", "2:4").CreateSparsifier(100)).Code);
        }
        Assert.NotNull(Recipe.Of("gmp").With("parameters.schedule", "cubic").With("bounds.floor", "20%").With("pattern", "2:4").CreateSparsifier(100));
    }

    [Fact]
    public void What_a_method_does_not_train_cannot_be_chosen_for_it()
    {
        PruningException e = Assert.Throws<PruningException>(() => Recipe.Of("jackpots").With("training.retrain", "biases").CreateSparsifier(10));
        Assert.Equal("SL4002", e.Code);
        Assert.Contains("recover", e.Try);
        Assert.NotNull(Recipe.Of("jackpots").With("training.retrain", "all").CreateSparsifier(10));
        Assert.NotNull(Recipe.Of("bip").With("training.retrain", "biases").CreateSparsifier(10));
        Assert.False(MethodCatalog.Get("jackpots").TrainsWeights);
    }

    [Fact]
    public void Hostile_recipes_are_refused()
    {
        Assert.Equal("SL4012", Assert.Throws<PruningException>(() => RecipeReader.Parse("method: " + new string('[', 100_000))).Code);
        Assert.Equal("SL4012", Assert.Throws<PruningException>(() => RecipeReader.Parse(new string('a', RecipeReader.MaxLength + 1))).Code);
        Assert.Equal("SL4012", Assert.Throws<PruningException>(() => RecipeReader.Read("/does/not/exist.yml")).Code);
    }
}
