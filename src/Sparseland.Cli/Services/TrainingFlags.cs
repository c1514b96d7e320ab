using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Model;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recipes;
using Sparseland.Pruning.Recovery;

namespace Sparseland.Cli.Services;

/// <summary>The flags that say how a network is trained, the same in every verb that trains; each sets one entry below <c>training</c> of the recipe.</summary>
/// <param name="defaults">The verb's values for what neither flag nor recipe says.</param>
internal sealed class TrainingFlags(TrainingPlan defaults)
{
    private readonly (string Key, Option<string?> Option)[] _flags = [.. RecipeKeys.Training.Select(key => (key.Name, Flag(key, defaults)))];

    public void AddTo(Command command)
    {
        foreach ((_, Option<string?> option) in _flags) command.Options.Add(option);
    }

    /// <summary>The recipe with what the flags say.</summary>
    /// <exception cref="VerbException">A value is out of range.</exception>
    public Recipe AddTo(Recipe recipe, ParseResult arguments)
    {
        foreach ((string key, Option<string?> option) in _flags)
        {
            if (arguments.GetValue(option) is not { } text) continue;
            try
            {
                recipe = recipe.With(key, text);
            }
            catch (SparselandException e)
            {
                string message = e.Message;
                int expected = message.IndexOf("expected ", StringComparison.Ordinal);
                throw VerbException.Usage($"{option.Name} is '{text}'", expected < 0 ? null : "use " + message[(expected + "expected ".Length)..]);
            }
        }
        return recipe;
    }

    /// <summary>The plan that a recipe means in this verb.</summary>
    /// <param name="recipe">The recipe, flags included.</param>
    /// <param name="text">Whether the data is text: other defaults.</param>
    /// <param name="seed">The seed of the run.</param>
    public TrainingPlan Plan(Recipe recipe, bool text, long seed) => recipe.PlanTraining(defaults, text) with { Seed = seed };

    /// <summary>The flag that sets an entry, such as <c>--learning-rate</c> for <c>training.learningRate</c>.</summary>
    public string FlagOf(string key) => _flags.First(f => f.Key == key).Option.Name;

    /// <summary>A plan as <c>run.json</c> records it.</summary>
    public static JsonObject ToJson(TrainingPlan plan) => new()
    {
        ["epochs"] = plan.Epochs,
        ["steps"] = plan.Steps,
        ["batch"] = plan.BatchSize,
        ["optimizer"] = plan.Optimizer,
        ["learningRate"] = plan.LearningRate,
        ["momentum"] = plan.Momentum,
        ["weightDecay"] = plan.WeightDecay,
        ["schedule"] = plan.Schedule,
        ["warmUp"] = plan.WarmUp,
        ["labelSmoothing"] = plan.LabelSmoothing,
        ["augment"] = plan.Augment,
        ["average"] = plan.Average,
        ["clipNorm"] = plan.ClipNorm,
        ["teacher"] = plan.Teacher,
        ["teacherWeight"] = plan.TeacherWeight,
        ["temperature"] = plan.Temperature,
        ["retrain"] = plan.Retrain,
        ["rank"] = plan.Rank,
        ["alpha"] = plan.Alpha,
        ["window"] = plan.Window,
        ["seed"] = plan.Seed,
    };

    private static Option<string?> Flag(MethodParameter key, TrainingPlan defaults)
    {
        string name = key.Name["training.".Length..];
        (string flag, string[] aliases) = name switch
        {
            "learningRate" => ("--learning-rate", ["--lr"]),
            "weightDecay" => ("--weight-decay", Array.Empty<string>()),
            "schedule" => ("--lr-schedule", []),
            "warmUp" => ("--warm-up", []),
            "labelSmoothing" => ("--label-smoothing", []),
            "average" => ("--ema", []),
            "clipNorm" => ("--clip", []),
            "teacherWeight" => ("--teacher-weight", []),
            _ => ("--" + name, []),
        };
        string choices = key.Choices.Count > 0 ? $": {string.Join(", ", key.Choices)}" : "";
        string fallback = ToJson(defaults)[name]?.ToString() ?? key.Default;
        return new Option<string?>(flag, aliases) { Description = $"{char.ToUpperInvariant(key.Description[0])}{key.Description[1..]}{choices} (default {fallback})." };
    }
}
