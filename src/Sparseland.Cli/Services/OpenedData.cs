using Sparseland.Cli.Hosting;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Services;

/// <summary>Data that was opened for a model, with the normalisation that goes with both.</summary>
/// <param name="Source">The data.</param>
/// <param name="Normalization">What the model's input needs.</param>
internal sealed record OpenedData(DataSource Source, InputNormalization Normalization)
{
    /// <summary>Whether the samples are tokens.</summary>
    public bool IsText => (Source.Train ?? Source.Test)!.Kind == SampleKind.Tokens;

    /// <summary>Opens data for a model: tokenizer, picture size and normalisation are the model's.</summary>
    /// <param name="nameOrPath">What the user gave.</param>
    /// <param name="dataRoot">Where named sets are.</param>
    /// <param name="graph">The model.</param>
    /// <param name="window">Tokens per sample of text.</param>
    /// <param name="seed">Seed of the built-in sets.</param>
    /// <exception cref="VerbException">The data does not fit the model.</exception>
    public static OpenedData For(ModelGraph graph, string nameOrPath, string? dataRoot, int window, int seed)
    {
        GraphValue input = graph.Inputs.Count > 0 ? graph.Inputs[0] : throw VerbException.Usage("the model has no inputs");
        TensorShape? shape = input.Type.Shape;
        bool pictures = shape is { Rank: 4 };
        DataSource source = DataSource.Open(nameOrPath, new DataSourceOptions
        {
            DataRoot = dataRoot,
            Window = window,
            Encoder = Encoder(graph),
            Seed = 1 + seed,
            ImageSize = pictures && shape![2].IsKnown && shape[3].IsKnown ? (shape[2].Value, shape[3].Value) : null,
            Channels = pictures && shape![1].IsKnown ? shape[1].Value : null,
        });
        CheckFit(graph, input, source);
        return new OpenedData(source, ModelMetadata.FindNormalization(graph) ?? source.Normalization ?? InputNormalization.None);
    }

    /// <summary>Stands between documents in most text collections for language models; what it separates must not see each other.</summary>
    internal const string DocumentSeparator = "<|endoftext|>";

    private static TextEncoder? Encoder(ModelGraph graph) => Tokenizer.Find(graph) is { } tokenizer
        ? new TextEncoder(tokenizer.VocabularySize, text => tokenizer.Encode(text), DocumentSeparator)
        : null;

    private static void CheckFit(ModelGraph graph, GraphValue input, DataSource source)
    {
        IDataset data = source.Train ?? source.Test!;
        TensorShape? shape = input.Type.Shape;
        string got = $"[{string.Join(", ", data.SampleShape.ToArray())}]";
        if ((data.Kind == SampleKind.Tokens) != (input.Type.ElementType is ElementType.Int64 or ElementType.Int32))
            throw Misfit($"'{source.Name}' holds {(data.Kind == SampleKind.Tokens ? "text" : "pictures")}; the model's input '{input.Name}' is {input.Type}");
        if (shape is null || data.Kind == SampleKind.Tokens) return;
        bool fits = shape.Rank == data.SampleShape.Length + 1;
        for (int i = 1; fits && i < shape.Rank; i++) fits = !shape[i].IsKnown || shape[i].Value == data.SampleShape[i - 1];
        if (!fits) throw Misfit($"samples of '{source.Name}' are {got}; the model's input '{input.Name}' is {input.Type}");
        if (graph.Outputs[0].Type.Shape is { Rank: 2 } output && output[1].IsKnown && output[1].Value < data.ClassCount)
            throw Misfit($"'{source.Name}' has {data.ClassCount} classes; the model's output '{graph.Outputs[0].Name}' has {output[1].Value}");
    }

    private static VerbException Misfit(string message) => new(ExitCodes.BadInputFile, "SL3008", "the data does not fit the model: " + message)
    {
        Try = "use data of the model's shape, or a model for this data: sparseland train ARCHITECTURE --data DATA",
    };
}
