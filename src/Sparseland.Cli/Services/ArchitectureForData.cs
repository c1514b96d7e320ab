using Sparseland.Cli.Hosting;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Services;

/// <summary>Builds an architecture with the options that the data suggests: classes, channels, picture size, vocabulary.</summary>
internal static class ArchitectureForData
{
    /// <summary>Loads a model file or builds an architecture; options given by hand win over the data's.</summary>
    public static ModelGraph Build(VerbContext context, string model, string? architecture, string? options, string? normalize, string data, string? dataRoot)
    {
        if (File.Exists(model) || ArchitectureCatalog.Find(model) is not { } found)
            return ModelAccess.LoadOrBuild(model, architecture, options, normalize, context.Settings.Seed);

        bool text = found is Llama;
        DataSource source = DataSource.Open(data, new DataSourceOptions { DataRoot = dataRoot });
        IDataset samples = source.Train ?? source.Test!;
        if (text != (samples.Kind == SampleKind.Tokens))
            throw VerbException.Usage($"{found.Id} takes {(text ? "text" : "pictures")}; '{data}' holds {(text ? "pictures" : "text")}");
        var suggested = new List<string>();
        Suggest("classes", text ? null : samples.ClassCount);
        Suggest("vocabulary", text ? ByteTokenizer.Instance.VocabularySize : null);
        if (samples.Kind != SampleKind.Tokens && samples.SampleShape.Length == 3)
        {
            Suggest("inputs", samples.SampleShape[0]);
            Suggest("image", samples.SampleShape[1]);
            Suggest("features", samples.SampleShape[0] * samples.SampleShape[1] * samples.SampleShape[2]);
        }
        string all = string.Join(',', suggested.Append(options ?? ""));
        context.Detail($"{found.Id} with {all}");
        ModelGraph graph = ModelAccess.LoadOrBuild(model, architecture, all, normalize, context.Settings.Seed);
        if (text) Tokenizer.Embed(graph, ByteTokenizer.Instance);
        if (samples.ClassNames is { } names && !text) Sparseland.Model.ModelMetadata.SetClassNames(graph.Metadata, names);
        return graph;

        void Suggest(string name, int? value)
        {
            if (value is { } v && found.Options.Any(o => o.Name == name)) suggested.Add($"{name}={v}");
        }
    }
}
